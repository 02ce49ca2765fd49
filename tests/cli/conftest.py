"""A small finished run, for commands that go on from one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tiny


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        tiny.cut_digits(patch)
        done = tiny.command(
            *("run", "--method", "zskt", "--epochs", "1", "--set", "batch_size=8", "--set", "distillation_steps=2"),
            *("--set", "attack_steps=2", "--attacks", "clean,pgd20", "--results", results, "--quiet"),
        )
        assert done.code == 0, done.err
    return results


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may damage."""
    (path,) = made.rglob("record.json")
    return Path(shutil.copytree(path.parent, tmp_path / "run"))
