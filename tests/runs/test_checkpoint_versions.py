"""Checkpoints of every format there was are gone on with; those of a later one are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch

from dfrd_bench._version import __version__
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.method import Resumable
from dfrd_bench.records.versions import CHECKPOINT
from dfrd_bench.runs.checkpoint import Checkpoint

FILES = sorted((Path(__file__).parent / "versions").glob("checkpoint-*.pt"))
NEXT = [0.9781094789505005, 1.0670875310897827, 0.45336949825286865]  # the walk's places, by the code of version 1


class Walk(Resumable):
    """A random walk: a tensor and a generator."""

    def __init__(self) -> None:
        self.rng = torch.Generator().manual_seed(0)
        self.place = torch.zeros(())

    def step(self) -> float:
        self.place = self.place + torch.randn((), generator=self.rng)
        return float(self.place)


def test_there_is_a_checkpoint_of_every_version() -> None:
    assert {int(path.stem.split("-")[1]) for path in FILES} == set(range(1, CHECKPOINT + 1))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_follows_is_what_would_have_followed(tmp_path: Path, path: Path) -> None:
    (tmp_path / "method.pt").write_bytes(path.read_bytes())
    walk = Walk()
    assert Checkpoint(tmp_path).restore(walk, tiny.CPU) == (1, 2.5, 0 if "first" in path.stem else 3)
    assert [walk.step() for _ in range(3)] == pytest.approx(NEXT)
    assert (tmp_path / "method.pt").read_bytes() == path.read_bytes()


def test_a_later_one_is_refused_with_who_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "method.pt"
    torch.save({"schema_version": CHECKPOINT + 1, "written_by": "9.1.0", "parts": []}, path)
    with pytest.raises(DfrdBenchError) as caught:
        Checkpoint(tmp_path).restore(Walk(), tiny.CPU)
    later = f"was written by dfrd-bench 9.1.0, this is {__version__}: update it (pip install -U dfrd-bench)."
    assert str(caught.value) == f"{path} {later}"
