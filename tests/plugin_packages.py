"""Plugins that tests install without pip: their real metadata, made by their build backend, where Python looks for it."""

from __future__ import annotations

import importlib
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dfrd_bench.registry import REGISTRIES

BUILD = "import sys; from setuptools import build_meta; build_meta.prepare_metadata_for_build_wheel(sys.argv[1])"

Install = Callable[[Path], None]
"""Does to a package's folder what `pip install -e` does; again after a change."""


@contextmanager
def installing(site: Path) -> Iterator[Install]:
    """Packages installed inside, with their metadata below `site`, are gone afterwards."""

    def install(folder: Path) -> None:
        metadata = site.resolve() / folder.name
        shutil.rmtree(metadata, ignore_errors=True)
        metadata.mkdir(parents=True)
        done = subprocess.run([sys.executable, "-c", BUILD, metadata], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        patch.syspath_prepend(metadata)
        patch.syspath_prepend(folder.resolve())
        forget()

    with pytest.MonkeyPatch.context() as patch:
        try:
            yield install
        finally:
            patch.undo()
            forget()


def forget() -> None:
    """What Python and the registries know of plugins is looked up again."""
    for name in [name for name in sys.modules if name.startswith("dfrd_bench_")]:
        del sys.modules[name]
    importlib.invalidate_caches()
    for registry in REGISTRIES.values():
        registry.__dict__.pop("_candidates", None)


def run_tests(folder: Path) -> int:
    """Call every test function of a package's tests, as pytest would; returns how many there were."""
    functions = [
        value
        for path in sorted(folder.glob("tests/test_*.py"))
        for name, value in runpy.run_path(str(path)).items()
        if name.startswith("test_")
    ]
    for function in functions:
        function()
    return len(functions)


def plant(site: Path, group: str, names: dict[str, str], source: str, module: str = "dfrd_bench_planted") -> Path:
    """A distribution of one module, as pip leaves it in a folder that is on the path.

    Args:
        site: the folder.
        group: "methods", "datasets", …
        names: entry points to names in the module.
        source: of the module.
        module: its name, which `forget` forgets if it begins with `dfrd_bench_`.
    """
    info = site / f"{module}-1.5.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (site / f"{module}.py").write_text(source, encoding="utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 1.5\n")
    points = [f"{name} = {module}:{thing}" for name, thing in names.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[dfrd_bench.{group}]", *points, ""]))
    return site
