"""Where a run leaves its weights and its record, and whether what lies there already is that run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.schema import ExperimentSpec, TeacherRecord
from dfrd_bench.records.store import RECORD_FILE, TEACHER_SUFFIX, WEIGHTS_FILE, load_record, teacher_folder
from dfrd_bench.registry import METHODS
from dfrd_bench.reporting.codes import short
from dfrd_bench.runs.checkpoint import State
from dfrd_bench.runs.epochs import CHECKPOINT_FOLDER
from dfrd_bench.runs.request import Request

NAMED_DIFFERENCES = 3


@dataclass(frozen=True)
class Place:
    """Where the files of a run are.

    Attributes:
        folder: of the record, and of what there is on the way to it.
        weights: the file; of a student in the folder, of a teacher beside it.
    """

    folder: Path
    weights: Path


def place_of(request: Request, spec: ExperimentSpec) -> Place:
    """A student's folder is named after its settings; a teacher lies where it is wanted."""
    if request.output is None:
        folder = spec.folder(Path(request.results))
        return Place(folder, folder / WEIGHTS_FILE)
    weights = Path(request.output)
    return Place(teacher_folder(weights), weights)


def new_teacher(output: str, method: str, architecture: str, usual: str) -> TeacherRecord:
    """What a record calls the teacher that a run makes, before its weights are known.

    Args:
        output: the file of its weights.
        method: by which it is trained.
        architecture: its own.
        usual: a method that may be meant instead.

    Raises:
        DfrdBenchError: the method cannot make one, or its weights cannot be written so.
    """
    if METHODS.get(method).has_teacher:
        raise DfrdBenchError(
            f"{method} needs a teacher itself: train one by a method that needs none, e.g. --method {usual}."
        )
    if Path(output).suffix != TEACHER_SUFFIX:
        raise DfrdBenchError(f"Weights are written as a {TEACHER_SUFFIX} file: {output} needs that ending.")
    return TeacherRecord(name=f"checkpoint:{Path(output).name}", architecture=architecture, sha256="")


def is_finished(place: Place, spec: ExperimentSpec) -> bool:
    """Whether a run is there already.

    Raises:
        DfrdBenchError: a teacher's place is that of another one, or of nobody knows what.
    """
    weights, record_file = place.weights, place.folder / RECORD_FILE
    if spec.kind == "student":
        return os.path.exists(record_file)  # noqa: PTH110  (whose path may be too long to be asked about)
    if not weights.exists():
        return False
    way_out = "choose another --output, or delete the file to train anew."
    if not record_file.exists():
        if "spec" in State(place.folder).read():
            return False  # a training that came as far as its weights
        raise DfrdBenchError(f"{weights} exists, and no record says how it was trained: {way_out}")
    from dfrd_bench.records.weights import sha256_of

    record = load_record(place.folder)
    if record.weights_sha256 != sha256_of(weights):
        raise DfrdBenchError(f"{weights} is not the network that {record_file} describes: {way_out}")
    wanted = spec if record.spec.code is not None else spec.without_code  # what it does not say it may well be
    if differing := _differing(record.spec, wanted):
        raise DfrdBenchError(f"{weights} was trained with other settings ({differing}): {way_out}")
    return True


def begun_at(place: Place, spec: ExperimentSpec, digest: str | None) -> dict[str, Any]:
    """The state of a run that was begun at its place; empty where there is nothing of one to go on with.

    Args:
        place: of the run.
        spec: of the run.
        digest: of the images that it would be trained on; None for a method that sees none.

    Raises:
        DfrdBenchError: it is the training of another teacher, or on other images.
    """
    begun = State(place.folder).read()
    if spec.kind == "student":
        return begun
    if not (place.folder / CHECKPOINT_FOLDER).exists() and not place.weights.exists():
        return {}
    there, seen = _spec_in(begun), (begun.get("training images"), digest)
    if begun and (differing := _differing(there, spec, seen) if there else "those of another version"):
        raise DfrdBenchError(
            f"{place.folder} holds an unfinished training with other settings ({differing}): "
            "choose another --output, or delete that folder to begin anew."
        )
    return begun


def _spec_in(begun: Mapping[str, Any]) -> ExperimentSpec | None:
    """The spec that a state names; None where it names none that this version knows."""
    try:
        return ExperimentSpec.model_validate(begun.get("spec"))
    except ValidationError:
        return None


def _settings(spec: ExperimentSpec) -> dict[str, Any]:
    """What decides a teacher's weights and the numbers of its record, by the names a user gives it."""
    return {
        **{"dataset": spec.dataset, "arch": spec.student, "seed": spec.seed, "precision": spec.precision},
        **{"method": spec.method, "eps": spec.threat.eps, "step": spec.threat.step, **spec.config},
        "code": short(spec.code),
    }


def _differing(there: ExperimentSpec, wanted: ExperimentSpec, seen: tuple[str | None, str | None] | None = None) -> str:
    """The first settings that are not the same, as "beta = 6.0, not 3.0"; empty if all are.

    Of another method the hyper-parameters are others anyway.
    """
    old, new = _settings(there), _settings(wanted)
    if seen:
        old["training images"], new["training images"] = (str(digest)[:8] for digest in seen)
    names = [name for name in {**new, **old} if old.get(name) != new.get(name)]
    names = ["method"] if "method" in names else names
    parts = [f"{name} = {old.get(name)}, not {new.get(name)}" for name in names[:NAMED_DIFFERENCES]]
    return "; ".join(parts) + ("; …" if len(names) > NAMED_DIFFERENCES else "")
