"""Side files are not trusted: checkpoints carry a digest and the one before is kept; history and state are held against them."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.method import Resumable
from dfrd_bench.observer import SILENT
from dfrd_bench.records.sealed import SEAL, seal, unsealed
from dfrd_bench.runs.checkpoint import Checkpoint, History, State
from dfrd_bench.runs.epochs import train_epochs


class Walk(Resumable):
    """A random walk, one step an epoch."""

    progress: Any = None
    cautions: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.rng = torch.Generator().manual_seed(3)
        self.place = torch.zeros(())

    def train_epoch(self, epoch: int) -> dict[str, float]:
        self.place = self.place + torch.randn((), generator=self.rng)
        return {"place": float(self.place)}


def train(folder: Path, epochs: int, walk: Walk | None = None) -> tuple[Walk, Any]:
    walk = walk or Walk()
    with_epochs: Any = {"settings": {}, "folder": folder, "device": tiny.CPU, "observer": SILENT}
    return walk, train_epochs(walk, epochs, **with_epochs)


@pytest.fixture
def every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfrd_bench.runs.epochs.CHECKPOINT_SHARE", float("inf"))


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x40
    path.write_bytes(content)


def test_every_flipped_bit_of_a_sealed_file_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    path, buffer = tmp_path / "f", io.BytesIO()
    buffer.write(b"what was written")
    seal(buffer)
    whole = buffer.getvalue()
    for place in range(len(whole)):
        path.write_bytes(whole)
        flip(path, place)
        if len(whole) - SEAL <= place < len(whole) - 64:  # the mark: it is read as a file without one, seal and all
            assert unsealed(path).startswith(b"what was written")
            continue
        with pytest.raises(DfrdBenchError, match="its sha256 differs"):
            unsealed(path)


@pytest.mark.usefixtures("every_epoch")
@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "empty"])
def test_a_damaged_checkpoint_is_replaced_by_the_one_before_and_nothing_differs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    whole, told = train(tmp_path / "whole", 4)
    train(tmp_path / "stopped", 3)
    path = tmp_path / "stopped" / "checkpoint" / "method.pt"
    if damage == "flip":
        flip(path, path.stat().st_size // 3)
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    again, record = train(tmp_path / "stopped", 4)
    assert torch.equal(again.place, whole.place)
    assert record.last == told.last
    assert "going on from the checkpoint before it" in caplog.text
    lines = [json.loads(line) for line in (tmp_path / "stopped" / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1, 2, 3]


@pytest.mark.usefixtures("every_epoch")
def test_where_both_are_damaged_one_line_says_what_to_do(tmp_path: Path) -> None:
    train(tmp_path, 2)
    for name in ("method.pt", "previous.pt"):
        flip(tmp_path / "checkpoint" / name, 500)
    with pytest.raises(
        DfrdBenchError, match=r"is truncated, corrupt, or of another method: delete .* to begin the run again"
    ):
        train(tmp_path, 3)


def test_a_checkpoint_of_an_older_version_has_no_digest_and_is_gone_on_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    walk = Walk()
    walk.train_epoch(0)
    (tmp_path / "checkpoint").mkdir()
    content = {
        "method": walk.state_dict(),
        "epochs_done": 1,
        "seconds": 1.0,
        "peak": 1,
        "device": "cpu",
        "passes": None,
    }
    torch.save(content, tmp_path / "checkpoint" / "method.pt")
    again, _ = train(tmp_path, 2)
    walk.train_epoch(1)
    assert torch.equal(again.place, walk.place)
    assert "carries no digest" in caplog.text


def test_the_old_checkpoint_is_whole_until_the_new_one_is_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path, 1)
    path, fsync = tmp_path / "checkpoint" / "method.pt", os.fsync
    before, seen = path.read_bytes(), list[bytes]()

    def flushing(number: int) -> None:
        seen.append(path.read_bytes())
        fsync(number)

    monkeypatch.setattr(os, "fsync", flushing)
    Checkpoint(tmp_path / "checkpoint").save(Walk(), tiny.CPU, 2, 0.0, 0)
    assert seen[0] == before
    assert (tmp_path / "checkpoint" / "previous.pt").read_bytes() == before


def test_a_checkpoint_of_other_training_images_is_refused_whatever_state_says(tmp_path: Path) -> None:
    Checkpoint(tmp_path / "checkpoint", "one").save(Walk(), tiny.CPU, 1, 2.5, 3)
    assert Checkpoint(tmp_path / "checkpoint", "one").restore(Walk(), tiny.CPU) == (1, 2.5, 3)
    for other in ("other", None):
        with pytest.raises(DfrdBenchError, match="was trained on other training images"):
            Checkpoint(tmp_path / "checkpoint", other).restore(Walk(), tiny.CPU)


@pytest.mark.parametrize("content", [b"", b"x\n", b'{"epoch": 0, "seconds": 1.0, "place": 9.5}\n', None])
def test_a_history_that_lost_lines_or_says_something_else_is_made_again_from_the_checkpoint(
    tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    _, told = train(tmp_path, 2)
    path = tmp_path / "history.jsonl"
    before = path.read_bytes()
    path.unlink() if content is None else path.write_bytes(content)
    _, again = train(tmp_path, 2)
    assert path.read_bytes() == before
    assert again.last == told.last
    assert "it is made again from the checkpoint" in caplog.text


def test_each_line_of_a_history_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda _: flushed.append((tmp_path / "h.jsonl").read_text()))
    history = History(tmp_path / "h.jsonl")
    history.append({"epoch": 0})
    history.append({"epoch": 1})
    assert [text.count("\n") for text in flushed] == [1, 2]


@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 100_000, b"[1]", b"9" * 5000, b'{"stage": '])
def test_a_state_that_cannot_be_read_says_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state").write_bytes(content)
    assert State(tmp_path).read() == {}


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
def test_a_pipe_called_state_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "state")
    assert State(tmp_path).read() == {}
