"""The natural teacher, for methods that have two: which one it is, loaded, and not the robust one over again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.problem import Precision
from dfrd_bench.records.files import expanded
from dfrd_bench.records.store import RECORD_FILE
from dfrd_bench.runs.request import Request

if TYPE_CHECKING:
    import torch

    from dfrd_bench.datasets.base import Dataset
    from dfrd_bench.teachers.base import Teacher


def natural_teacher_of(request: Request, dataset: Dataset) -> str:
    """Its name, as of a teacher; a path becomes one: of a file `checkpoint:FILE`, of a finished run's folder `run:FOLDER`.

    Raises:
        DfrdBenchError: none is named, and the dataset has none of its own.
    """
    name = request.natural_teacher or dataset.default_natural_teacher
    if name is None:
        raise DfrdBenchError(
            f"{request.method or 'a method of this suite'} has two teachers, and {dataset.task} has no natural one of its "
            "own: train one with `dfrd-bench run --method natural`, and give its folder as --natural-teacher."
        )
    if (expanded(name) / RECORD_FILE).is_file():
        return f"run:{name}"
    return f"checkpoint:{name}" if expanded(name).is_file() else name


def load_natural_teacher(request: Request, dataset: Dataset, robust: Teacher, device: torch.device) -> Teacher:
    """Load it, frozen.

    Raises:
        DfrdBenchError: it is missing, cannot be used for the dataset, or has the robust teacher's weights.
    """
    from dfrd_bench.teachers.base import load_teacher, teacher_source

    name, architecture = natural_teacher_of(request, dataset), request.natural_teacher_arch
    takes_one = teacher_source(name, dataset.info.name).takes_architecture
    if takes_one and architecture is None:
        raise DfrdBenchError(f"{name} needs --natural-teacher-arch, a name of `dfrd-bench list students`.")
    if not takes_one and architecture is not None:
        raise DfrdBenchError(f"Teacher {name} has its own architecture: leave --natural-teacher-arch out.")
    natural = load_teacher(name, dataset.info, architecture=architecture, device=device, precision=Precision())
    if natural.record.sha256 == robust.record.sha256:
        raise DfrdBenchError(
            f"The natural teacher {natural.record.name} has the weights of the robust one ({robust.record.name}): "
            f"{request.method} learns from two, so name a naturally trained network as --natural-teacher."
        )
    return natural
