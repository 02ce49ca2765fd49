"""Teachers from a weights file of the user's: `checkpoint:PATH`, with the architecture given beside it."""

from __future__ import annotations

from pathlib import Path

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.problem import DatasetInfo
from dfrd_bench.records.files import expanded
from dfrd_bench.records.weights import check_finite, fill, read_weights, sha256_of
from dfrd_bench.students.base import build_network
from dfrd_bench.teachers.base import Loaded, TeacherSource


def load_file(path: Path, info: DatasetInfo, architecture: str) -> Loaded:
    """Build an architecture for a task and fill it from a file.

    Raises:
        DfrdBenchError: the file cannot be read, or its weights do not fit or are not finite.
    """
    weights = read_weights(path)
    model = build_network(architecture, channels=info.shape[0], num_classes=info.num_classes, seed=0)
    fill(model, weights, source=str(path), architecture=f"{architecture} for {info.name}")
    check_finite(model, source=str(path))
    return Loaded(model, architecture, sha256_of(path))


def _load(argument: str, info: DatasetInfo, architecture: str | None) -> Loaded:
    if not argument:
        raise DfrdBenchError("Name the file: --teacher checkpoint:PATH.")
    if architecture is None:
        raise DfrdBenchError(f"checkpoint:{argument} needs --teacher-arch, a name of `dfrd-bench list students`.")
    return load_file(expanded(argument), info, architecture)


checkpoint = TeacherSource(
    summary="your own weights: checkpoint:PATH with --teacher-arch (safetensors or PyTorch)",
    load=_load,
    takes_argument=True,
    takes_architecture=True,
)
