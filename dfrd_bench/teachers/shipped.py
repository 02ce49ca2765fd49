"""Teachers whose weights come with the package."""

from __future__ import annotations

from importlib.resources import as_file, files

from dfrd_bench.problem import DatasetInfo
from dfrd_bench.teachers.base import Loaded, TeacherSource
from dfrd_bench.teachers.checkpoint import load_file


def _shipped(name: str, architecture: str, info: DatasetInfo) -> Loaded:
    """A network for digits, from the file of its name."""
    with as_file(files("dfrd_bench.teachers") / "weights" / f"{name}.safetensors") as path:
        return load_file(path, info, architecture)


digits_wrn_10_2 = TeacherSource(
    summary="digits: WideResNet-10-2 trained with TRADES, shipped with the package",
    load=lambda _argument, info, _architecture: _shipped("digits-wrn-10-2", "wrn-10-2", info),
    dataset="digits",
)
digits_natural_wrn_10_1 = TeacherSource(
    summary="digits: WideResNet-10-1 trained on clean images only (not robust), the second teacher of MTARD, shipped",
    load=lambda _argument, info, _architecture: _shipped("digits-natural-wrn-10-1", "wrn-10-1", info),
    dataset="digits",
)
"""Made by `dfrd-bench run --method natural --dataset digits`: the student of that run."""
