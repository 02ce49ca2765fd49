"""What a teacher entry point is, and how a teacher is made ready: frozen once, checked against the dataset."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dfrd_bench.errors import DfrdBenchError, out_of_memory, unknown_name
from dfrd_bench.problem import TUNING, DatasetInfo, Precision
from dfrd_bench.records.schema import TeacherRecord
from dfrd_bench.registry import DATASETS, TEACHERS, Entry

if TYPE_CHECKING:
    import torch
    from torch import nn

ALIKE = 0.85  # of 1, the share of two names that is the same


@dataclass(frozen=True)
class Loaded:
    """A teacher as its source hands it over.

    Attributes:
        model: images [N, C, H, W] in [0, 1] -> logits; normalisation, if any, inside.
        architecture: the network's name.
        sha256: of the weights file.
    """

    model: nn.Module
    architecture: str
    sha256: str


@dataclass(frozen=True)
class TeacherSource:
    """Where teachers of one kind come from.

    Attributes:
        summary: one line for `dfrd-bench list teachers`.
        load: (argument after the colon, the task, architecture asked for or None) -> the network.
        takes_argument: whether the name may carry one (`checkpoint:PATH`).
        takes_architecture: whether the user says which network it is; otherwise asking for one is refused.
        names: dataset name -> the arguments it knows for that dataset, each with one line for `list teachers --dataset`; quick,
            so without importing PyTorch. None where they cannot be listed.
        unfetched: (argument after the colon, the task) -> the network with random weights and its architecture's name, where its
            own would have to be downloaded; None where they are there. None: they always are, or it is an error.
        dataset: the only dataset it has teachers for, its images divided otherwise (`TUNING`) included; "" when that depends on
            the argument.
    """

    summary: str
    load: Callable[[str, DatasetInfo, str | None], Loaded]
    takes_argument: bool = False
    takes_architecture: bool = False
    names: Callable[[str], Mapping[str, str]] | None = None
    dataset: str = ""
    unfetched: Callable[[str, DatasetInfo], tuple[nn.Module, str] | None] | None = None

    def fits(self, dataset: str) -> bool:
        """Whether it may have teachers for a dataset, by its name."""
        return self.dataset in ("", dataset.removesuffix(TUNING))


@dataclass(frozen=True)
class Teacher:
    """A robust network ready to teach: eval mode, no gradients for its weights, on its device."""

    model: nn.Module
    record: TeacherRecord


def teachers_for(dataset: str) -> list[Entry]:
    """The registered teachers that fit a dataset, with one entry per model where a source knows its models.

    Raises:
        DfrdBenchError: nothing is known of the dataset.
    """
    rows: list[Entry] = []
    known = DATASETS.parse(dataset)[0] in DATASETS.names()
    for entry in TEACHERS.entries():
        if entry.problem:
            rows.append(entry)
            continue
        source: TeacherSource = TEACHERS.get(entry.name)
        if source.names is not None:
            models = source.names(dataset)
            known = known or bool(models)
            rows += [replace(entry, name=f"{entry.name}:{name}", summary=line) for name, line in models.items()]
        elif source.fits(dataset):
            rows.append(entry)
    if not known:
        raise unknown_name("dataset", dataset, DATASETS.names())
    return rows


def teacher_source(name: str, dataset: str) -> TeacherSource:
    """What a teacher's name means.

    Args:
        name: e.g. `checkpoint:PATH`.
        dataset: the task's, for what may have been meant by a name that is none.

    Raises:
        DfrdBenchError: there is no such kind of teacher; the message says how a file, or a model of RobustBench, is named.
    """
    if TEACHERS.parse(name)[0] not in TEACHERS.names():
        if Path(name).is_file():
            raise DfrdBenchError(f"{name} is a file: write --teacher checkpoint:{name}, with its --teacher-arch.")
        if meant := _meant_in_a_zoo(name, dataset):
            raise DfrdBenchError(f"Unknown teacher {name!r}. {meant}")
    source: TeacherSource = TEACHERS.get(name)
    return source


def _meant_in_a_zoo(name: str, dataset: str) -> str:
    """A sentence on the model that is meant by a name without its source; "" where none is like it."""
    datasets = sorted(DATASETS.names(), key=lambda known: known != dataset)  # the task's first
    for kind in TEACHERS.names():
        try:
            listed = TEACHERS.get(kind).names
            models = {one: data for data in datasets[::-1] for one in (listed(data) if listed else ())}
        except DfrdBenchError:  # what is broken or not installed has no models to offer
            continue
        lower = {one.lower(): one for one in models}
        for match in difflib.get_close_matches(name.lower(), lower, n=1, cutoff=ALIKE):
            one = lower[match]
            other = "" if models[one] == dataset else f" It is for --dataset {models[one]}."
            return f"Did you mean '{kind}:{one}'?{other}"
    return ""


def shown_name(name: str) -> str:
    """What records call a teacher: of a path only its last part."""
    head, argument = TEACHERS.parse(name)
    return head if not argument else f"{head}:{argument.rstrip('/').rsplit('/', 1)[-1]}"


def load_teacher(
    name: str, info: DatasetInfo, *, architecture: str | None, device: torch.device, precision: Precision
) -> Teacher:
    """Load a registered teacher, freeze it, and check that it answers this task.

    Args:
        name: a name of `dfrd-bench list teachers`, e.g. `checkpoint:PATH`.
        info: the dataset's shape and classes.
        architecture: for teachers that do not name their own, a name of `dfrd-bench list students`.
        device: where to put it.
        precision: its memory layout.

    Raises:
        DfrdBenchError: no such teacher, one of another dataset, weights that cannot be used, or a number of classes other than
            the dataset's.
    """
    import torch

    source = teacher_source(name, info.name)
    _, argument = TEACHERS.parse(name)
    if architecture is not None and not source.takes_architecture:
        raise DfrdBenchError(f"Teacher {name} has its own architecture: leave --teacher-arch out.")
    if not source.fits(info.name):
        raise DfrdBenchError(f"Teacher {name!r} was trained on {source.dataset}, not on {info.name}.")
    loaded = source.load(argument, info, architecture)
    model = precision.place(loaded.model, device).eval().requires_grad_(False)
    try:
        with torch.no_grad():
            logits = model(torch.zeros(1, *info.shape, device=device))
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:160]
        raise DfrdBenchError(f"Teacher {name!r} does not take {info.name}'s images {info.shape}: {reason}") from error
    if logits.shape != (1, info.num_classes):
        raise DfrdBenchError(
            f"Teacher {name!r} has {logits.shape[-1]} classes, but {info.name} has {info.num_classes}: "
            f"choose a teacher trained on {info.name}."
        )
    return Teacher(model, TeacherRecord(name=shown_name(name), architecture=loaded.architecture, sha256=loaded.sha256))
