"""A history becomes series, whatever somebody wrote into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.history import family_of, read_history

TEXT = """{"epoch": 0, "seconds": 1.5, "loss": 2.0, "p/0": 0.25, "p/1": 0.75}
{"epoch": 1, "loss": null, "p/0": 0.5}
garbage
[1, 2]
{"loss": 7.0}
{"epoch": -1, "loss": 7.0}
{"epoch": 2, "loss": 1e999, "name": "x", "p/0": 0.1, "p/1": 0.9}
{"epoch": 3, "loss": 1.0, "big": 1%s}
""" % ("0" * 400)


def test_series_hold_the_finite_numbers_of_undamaged_lines_by_epoch_from_one(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text(TEXT)
    found = read_history(tmp_path)
    assert {name: (list(epochs), list(values)) for name, (epochs, values) in found.items()} == {
        "seconds": ([1], [1.5]),
        "loss": ([1, 4], [2.0, 1.0]),
        "p/0": ([1, 2, 3], [0.25, 0.5, 0.1]),
        "p/1": ([1, 3], [0.75, 0.9]),
    }


def test_a_family_is_known_where_all_its_members_are(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text(TEXT)
    epochs, values = family_of(read_history(tmp_path), "p", 2)
    assert epochs.tolist() == [1, 3]
    assert values.tolist() == [[0.25, 0.75], [0.1, 0.9]]
    with pytest.raises(DfrdBenchError, match="no 'p' of every class"):
        family_of(read_history(tmp_path), "p", 3)


def test_a_missing_history_is_said(tmp_path: Path) -> None:
    with pytest.raises(DfrdBenchError, match=r"history\.jsonl"):
        read_history(tmp_path)
