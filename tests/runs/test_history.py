"""`history.jsonl` of a run that was stopped: damaged lines are dropped with a warning, the others stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfrd_bench.runs.checkpoint import History

LINES = b'{"epoch": 0, "loss": 1.5}\n{"epoch": 1, "loss": 1.0}\n{"epoch": 2, "loss": 0.5}\n'
DAMAGED = {
    "garbage": b"x\nx\nx\n",
    "nul": bytes(600),
    "half": LINES[:-12],
    "number": b"1\n2\n3\n",
    "binary": b"\xff\xfe",
    "deep": b"[" * 100_000,
    "digits": b"9" * 5_000,
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_damaged_lines_are_dropped_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(content)
    kept = History(path).truncate(3)
    assert kept == ([{"epoch": 0, "loss": 1.5}, {"epoch": 1, "loss": 1.0}] if content == DAMAGED["half"] else [])
    assert f"{path}: dropped" in caplog.text
    assert History(path).truncate(3) == kept


def test_whole_lines_stay_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(LINES)
    assert [line["epoch"] for line in History(path).truncate(2)] == [0, 1]
    assert caplog.text == ""
