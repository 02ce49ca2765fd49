"""The life of a teacher of one's own: resolve, train epoch by epoch, write its weights, evaluate, record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfrd_bench._version import __version__
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.observer import SILENT, Observer
from dfrd_bench.problem import Precision
from dfrd_bench.records.alone import Alone, alone_in
from dfrd_bench.records.files import check_writable, drop_temporaries, file_name
from dfrd_bench.records.schema import ExperimentSpec, Record, TeacherRecord, TrainingRecord
from dfrd_bench.records.store import (
    RECORD_FILE,
    TEACHER_SUFFIX,
    UNFINISHED_FOLDER,
    load_record,
    save_record,
    teacher_folder,
)
from dfrd_bench.registry import ATTACKS, STUDENTS
from dfrd_bench.runs.checkpoint import State
from dfrd_bench.runs.defaults import usual_defaults
from dfrd_bench.runs.environment import choose_device
from dfrd_bench.runs.epochs import CHECKPOINT_FOLDER, train_epochs
from dfrd_bench.runs.leftovers import check_weights, finish
from dfrd_bench.runs.preflight import check_teacher_recordable
from dfrd_bench.runs.preparation import check_training, threat_of
from dfrd_bench.runs.request import Request, requested
from dfrd_bench.runs.subject import check_own_images
from dfrd_bench.settings import validated

if TYPE_CHECKING:
    import torch
    from torch import nn

    from dfrd_bench.datasets.base import Dataset
    from dfrd_bench.teachers.training import TeacherConfig

TEACHERS_FOLDER = Path("results", "teachers")  # where teachers go that are not told where to
NAMED_DIFFERENCES = 3


@dataclass(frozen=True)
class TrainedTeacher:
    """A teacher that is trained, evaluated and recorded.

    Attributes:
        weights: its file, for `--teacher checkpoint:FILE`.
        folder: of its record, beside the file.
        record: how it was trained and what was measured; `record.spec.student` is its architecture.
        cached: True when it had been trained before.
    """

    weights: Path
    folder: Path
    record: Record
    cached: bool = False


def train_teacher(
    dataset: str = "digits", *, output: str | Path | None = None, observer: Observer = SILENT, **request: Any
) -> TrainedTeacher:
    """Train a robust teacher on real images, evaluate and record it; the same as `dfrd-bench teacher train`.

    Args:
        dataset: name of a dataset.
        output: see `fulfil_teacher`.
        observer: told what happens.
        request: the other fields of `Request`: student (the architecture), settings (`TeacherConfig`), seed, eps, …

    Raises:
        DfrdBenchError: see `fulfil_teacher`.
    """
    return fulfil_teacher(requested({"dataset": dataset, **request}, "train_teacher"), output, observer)


@usual_defaults()
def fulfil_teacher(request: Request, output: str | Path | None = None, observer: Observer = SILENT) -> TrainedTeacher:
    """Make the teacher that a request asks for.

    A teacher that was trained with the same settings is not trained again: attacks that its record lacks are added. A
    training that was stopped goes on from its last checkpoint, an evaluation from what it had found.

    Args:
        request: `student` is the teacher's architecture; method, epochs and settings (`TeacherConfig`) go before the
            dataset's recipe.
        output: where the weights go, a `.safetensors` file; below results/teachers/ when None.
        observer: told what happens.

    Raises:
        DfrdBenchError: whatever is wrong with the request; or the output is another teacher, or nobody knows what.
    """
    from dfrd_bench.runs.reevaluation import evaluate_run

    attacks = tuple(ATTACKS.select(request.attacks))
    plan = _resolve(request, output, observer)
    if not _is_finished(plan):
        check_writable(plan.weights)
        check_teacher_recordable(plan.spec, plan.dataset, plan.folder, attacks)
        with alone_in(plan.folder) as alone:
            if not _is_finished(plan):  # as long as it took to get the folder
                return _make(plan, alone, attacks, observer)
    check_own_images(load_record(plan.folder), plan.dataset)
    device = str(plan.device)
    record = evaluate_run(plan.folder, attacks=attacks, dataset=plan.dataset, device=device, observer=observer)
    return TrainedTeacher(plan.weights, plan.folder, record, cached=True)


def _make(plan: _Plan, alone: Alone, attacks: Sequence[str], observer: Observer) -> TrainedTeacher:
    """Train, evaluate and record, in a folder that nobody else works in."""
    from dfrd_bench.records.weights import write_weights
    from dfrd_bench.runs.measurement import measure

    plan.dataset.load_tested()  # what is wrong with the images is said now, not after the training
    drop_temporaries(plan.weights.parent, plan.weights.name)
    model, training = _train(plan, alone, observer)
    alone.check()
    sha256 = write_weights(plan.weights, model)
    record, predictions = measure(
        plan.spec.model_copy(update={"teacher": plan.spec.teacher.model_copy(update={"sha256": sha256})}),
        model,
        plan.dataset,
        attacks=attacks,
        device=plan.device,
        weights_sha256=sha256,
        training=training,
        unfinished=plan.folder / UNFINISHED_FOLDER,
        observer=observer,
    )
    alone.check()
    check_weights(plan.weights, sha256)
    save_record(plan.folder, record, predictions)
    finish(plan.folder, record)
    return TrainedTeacher(plan.weights, plan.folder, record)


@dataclass(frozen=True)
class _Plan:
    """A request with every name looked up; the sha256 of the weights is not known yet."""

    spec: ExperimentSpec
    config: TeacherConfig
    dataset: Dataset
    weights: Path
    device: torch.device

    @property
    def folder(self) -> Path:
        return teacher_folder(self.weights)


def _resolve(request: Request, output: str | Path | None, observer: Observer) -> _Plan:
    """Fill in every default.

    Raises:
        DfrdBenchError: whatever is wrong with the request.
    """
    from dfrd_bench.datasets.base import open_dataset
    from dfrd_bench.teachers.training import TeacherConfig

    check_training(request)
    data = open_dataset(**request.images, progress=observer.on_data)
    architecture = request.student or data.teacher_architecture or data.default_student
    STUDENTS.get(architecture)
    named = {name: value for name in ("method", "epochs") if (value := getattr(request, name)) is not None}
    config = validated(TeacherConfig, {**data.teacher_recipe, **request.settings, **named}, "teacher training")
    stem = file_name(f"{data.info.name}-{architecture}-{config.method}-seed{request.seed}")
    weights = Path(output or TEACHERS_FOLDER / f"{stem}{TEACHER_SUFFIX}")
    if weights.suffix != TEACHER_SUFFIX:
        raise DfrdBenchError(f"Weights are written as a {TEACHER_SUFFIX} file: {weights} needs that ending.")
    if request.precision == "auto":
        raise DfrdBenchError("--precision auto is for runs, whose teacher can be timed: name fp32, tf32 or bf16.")
    spec = ExperimentSpec(
        kind="teacher",
        method="teacher",
        provider=f"dfrd-bench {__version__}",
        config=config.model_dump(mode="json"),
        dataset=data.name,
        teacher=TeacherRecord(name=f"checkpoint:{weights.name}", architecture=architecture, sha256=""),
        student=architecture,
        threat=threat_of(request, data),
        precision=request.precision,
        seed=request.seed,
    )
    return _Plan(spec, config, data, weights, choose_device(request.device))


def settings_of(spec: ExperimentSpec) -> dict[str, Any]:
    """What decides a teacher's weights and the numbers of its record, by the names a user gives it."""
    return {
        **{"dataset": spec.dataset, "arch": spec.student, "seed": spec.seed, "precision": spec.precision},
        **{"eps": spec.threat.eps, "step": spec.threat.step, **spec.config},
    }


def _is_finished(plan: _Plan) -> bool:
    """Whether this teacher is there already.

    Raises:
        DfrdBenchError: the file is another teacher, or nobody knows what.
    """
    from dfrd_bench.records.weights import sha256_of

    weights, record_file = plan.weights, plan.folder / RECORD_FILE
    if not weights.exists():
        return False
    way_out = "choose another --output, or delete the file to train anew."
    if not record_file.exists():
        if State(plan.folder).read().get("stage") == "evaluation":
            return False
        raise DfrdBenchError(f"{weights} exists, and no record says how it was trained: {way_out}")
    record = load_record(plan.folder)
    if record.weights_sha256 != sha256_of(weights):
        raise DfrdBenchError(f"{weights} is not the network that {record_file} describes: {way_out}")
    if differing := _differing(settings_of(record.spec), settings_of(plan.spec)):
        raise DfrdBenchError(f"{weights} was trained with other settings ({differing}): {way_out}")
    return True


def _train(plan: _Plan, alone: Alone, observer: Observer) -> tuple[nn.Module, TrainingRecord]:
    """Train to the last epoch, going on from a checkpoint if there is one; returns the averaged network and how it went.

    Raises:
        DfrdBenchError: the checkpoint has other settings behind it, or cannot be read.
    """
    from dfrd_bench.teachers.training import TeacherTraining

    spec, folder, state = plan.spec, plan.folder, State(plan.folder)
    images, precision = plan.dataset.load("train"), Precision(spec.precision)
    settings = {**settings_of(spec), "training images": images.digest()[:8]}
    differing = _differing(state.read().get("settings", {}), settings)
    if differing and ((folder / CHECKPOINT_FOLDER).exists() or plan.weights.exists()):
        raise DfrdBenchError(
            f"{folder} holds an unfinished training with other settings ({differing}): "
            "choose another --output, or delete that folder to begin anew."
        )
    with precision.backends():
        training = TeacherTraining(
            images,
            plan.dataset.info,
            architecture=spec.student,
            config=plan.config,
            threat=spec.threat,
            seed=spec.seed,
            device=plan.device,
            precision=precision,
        )
        state.write("training", settings=settings)
        (folder / RECORD_FILE).unlink(missing_ok=True)  # of weights that are gone
        record = train_epochs(
            training,
            plan.config.epochs,
            settings=plan.config.model_dump(),
            folder=folder,
            device=plan.device,
            observer=observer,
            still_alone=alone.check,
        )
    state.write("evaluation", settings=settings)
    return training.average.model, record


def _differing(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The first settings that are not the same, as "beta = 6.0, not 3.0"; empty if all are."""
    names = [name for name in {**wanted, **there} if there.get(name) != wanted.get(name)]
    parts = [f"{name} = {there.get(name)}, not {wanted.get(name)}" for name in names[:NAMED_DIFFERENCES]]
    return "; ".join(parts) + ("; …" if len(names) > NAMED_DIFFERENCES else "")
