"""Teachers whose weights come with the package."""

from __future__ import annotations

from importlib.resources import as_file, files

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.problem import DatasetInfo
from dfrd_bench.teachers.base import Loaded, TeacherSource
from dfrd_bench.teachers.checkpoint import load_file


def _digits(_argument: str, info: DatasetInfo, _architecture: str | None) -> Loaded:
    if info.name != "digits":
        raise DfrdBenchError(f"Teacher 'digits-wrn-10-2' was trained on digits, not on {info.name}.")
    with as_file(files("dfrd_bench.teachers") / "weights" / "digits-wrn-10-2.safetensors") as path:
        return load_file(path, info, "wrn-10-2")


digits_wrn_10_2 = TeacherSource(
    summary="digits: WideResNet-10-2 trained with TRADES, shipped with the package", load=_digits, dataset="digits"
)
