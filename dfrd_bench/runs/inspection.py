"""What the images that a run kept are to its teacher."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.problem import Precision
from dfrd_bench.records.schema import Record
from dfrd_bench.runs.environment import choose_device

if TYPE_CHECKING:
    from dfrd_bench.evaluation.synthetic import Portrait


def inspect_run(folder: Path, record: Record, *, teacher: str | None = None, device: str = "auto") -> Portrait:
    """Ask a run's teacher about the images that lie in the run's folder (`samples.npz`).

    Args:
        folder: of the run.
        record: of the run.
        teacher: where its teacher is; by the name in the record when None.
        device: where to compute.

    Raises:
        DfrdBenchError: there are no images, the teacher cannot be had, or it is another than the record's.
    """
    import torch

    from dfrd_bench.evaluation.synthetic import portray
    from dfrd_bench.reporting.figures.samples import load_samples
    from dfrd_bench.teachers.base import load_teacher, teacher_source

    spec, info, place = record.spec, record.dataset.info, choose_device(device)
    name = teacher or spec.teacher.name
    architecture = spec.teacher.architecture if teacher_source(name, info.name).takes_architecture else None
    loaded = load_teacher(name, info, architecture=architecture, device=place, precision=Precision())
    if loaded.record.sha256 != spec.teacher.sha256:
        raise DfrdBenchError(f"{name} is not the teacher of {folder}: their sha256 differ.")
    images = torch.from_numpy(load_samples(folder, info).images).to(place).float() / 255
    return portray(loaded.model, Precision().images(images), spec.threat.eps)
