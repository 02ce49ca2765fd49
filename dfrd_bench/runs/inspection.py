"""What the images that a run kept are to its teacher."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.problem import Precision
from dfrd_bench.records.schema import Record
from dfrd_bench.runs.environment import choose_device

if TYPE_CHECKING:
    from torch import nn

    from dfrd_bench.evaluation.synthetic import Portrait


def inspect_run(folder: Path, record: Record, teacher: nn.Module) -> Portrait:
    """Ask a run's teacher about the images that lie in the run's folder (`samples.npz`).

    Args:
        folder: of the run.
        record: of the run.
        teacher: the run's, see `its_teacher`; where it is, is computed.

    Raises:
        DfrdBenchError: there are no images, or they are damaged.
    """
    import torch

    from dfrd_bench.evaluation.synthetic import portray
    from dfrd_bench.reporting.figures.samples import load_samples

    images = torch.from_numpy(load_samples(folder, record.dataset.info).images).float() / 255
    images = images.to(next(teacher.parameters()).device)
    return portray(teacher, Precision().images(images), record.spec.threat.eps)


def its_teacher(record: Record, name: str | None = None, device: str = "auto") -> nn.Module:
    """The teacher of a run, frozen.

    Args:
        record: of the run.
        name: where the teacher is; by the name in the record when None.
        device: where to put it.

    Raises:
        DfrdBenchError: it cannot be had, or it is another than the record's.
    """
    from dfrd_bench.teachers.base import load_teacher, teacher_source

    spec, info, place = record.spec, record.dataset.info, choose_device(device)
    name = name or spec.teacher.name
    architecture = spec.teacher.architecture if teacher_source(name, info.name).takes_architecture else None
    loaded = load_teacher(name, info, architecture=architecture, device=place, precision=Precision())
    if loaded.record.sha256 != spec.teacher.sha256:
        raise DfrdBenchError(f"{name} is not the teacher that distilled {record.spec.method}: their sha256 differ.")
    return loaded.model
