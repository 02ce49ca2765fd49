"""The example plugin is as short as promised, installs beside the built-in methods, and passes its tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import plugin_packages
import pytest
import tiny

from dfrd_bench.distillation.conversion import RobustDistillation
from dfrd_bench.registry import METHODS
from dfrd_bench.testing import tiny_config, toy_problem

EXAMPLE = Path(__file__).parent.parent / "examples" / "plugin"


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[Path]:
    """A copy of the example, installed."""
    folder = tmp_path / "plugin"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("*.egg-info", "build", "__pycache__"))
    with plugin_packages.installing(tmp_path / "site") as install:
        install(folder)
        yield folder


def test_the_method_is_under_forty_lines_of_python() -> None:
    (module,) = EXAMPLE.glob("*.py")
    assert len([line for line in module.read_text().splitlines() if line.strip()]) < 40


def test_it_passes_its_own_tests(installed: Path) -> None:
    assert plugin_packages.run_tests(installed) == 2


def test_it_is_listed_and_shown_like_any_other(installed: Path) -> None:
    (entry,) = [entry for entry in METHODS.entries() if entry.name == "dafl"]
    assert entry.distribution == "dfrd-bench-dafl 0.1.0"
    assert entry.problem == ""
    shown = tiny.command("show", "dafl").out
    assert "Data-Free Learning of Student Networks" in shown
    assert "lambda_ie" in shown


def test_it_is_converted_to_robust_distillation_unless_asked_otherwise(installed: Path) -> None:
    dafl = METHODS.get("dafl")
    assert isinstance(dafl(toy_problem(), tiny_config(dafl)).distillation, RobustDistillation)
    plain = dafl(toy_problem(), tiny_config(dafl, {"conversion": False}))
    assert not isinstance(plain.distillation, RobustDistillation)
