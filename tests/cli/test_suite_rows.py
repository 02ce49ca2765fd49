"""What is misspelt in a suite's file is named with the file, the row and the key; the wall time of several runs at once."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
import tiny

from dfrd_bench.runs.forecast import side_by_side
from dfrd_bench.runs.remaining import seconds_left, warmup_in

GOOD = "title: T\nruns:\n  - {method: noise}\n"
WRONG = {
    "of-the-file": (
        "titel: T\nruns:\n  - {method: noise}\n",
        "rows.yaml is not a suite: Unknown key 'titel'. Did you mean 'title'?",
    ),
    "of-a-row": (
        f"{GOOD}  - {{metod: fast}}\n",
        "rows.yaml is not a suite: row 2: Unknown key 'metod'. Did you mean 'method'?",
    ),
    "of-an-exclusion": (
        f"{GOOD}exclude:\n  - {{studnet: wrn-10-1}}\n",
        "rows.yaml is not a suite: exclusion 1: Unknown key 'studnet'. Did you mean 'student'?",
    ),
    "a-missing-one": (f"{GOOD}  - {{student: wrn-10-1}}\n", "rows.yaml is not a suite: row 2: method: Field required."),
    "a-method": (f"{GOOD}  - {{method: frd}}\n", "rows.yaml, row 2: Unknown method 'frd'. Did you mean 'ferd'"),
    "a-setting": (
        f"{GOOD}  - {{method: ferd, settings: {{gama: 1}}}}\n",
        "rows.yaml, row 2: Unknown hyper-parameter of ferd 'gama'. Did you mean 'gamma'?",
    ),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_a_misspelt_key_is_named_with_its_file_and_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.yaml").write_text(text)
    refused = tiny.command("suite", "rows.yaml", "--dry-run")
    assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
    assert refused.err.startswith(f"Error: {message}")


def test_runs_at_once_take_as_long_as_whoever_ends_last() -> None:
    assert side_by_side([3, 2, 2], 1) == 7
    assert side_by_side([3, 2, 2], 2) == 4  # 3, and 2 + 2 beside it
    assert side_by_side([3, 2, 2], 9) == 3
    for lengths in permutations((1.0, 2.0, 5.0, 8.0)):
        wall = side_by_side(lengths, 2)
        assert max(8.0, sum(lengths) / 2) <= wall <= sum(lengths) / 2 + 8.0 / 2  # Graham's bound


def test_a_dry_run_says_the_wall_time_of_its_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.yaml").write_text(GOOD)
    words = ("suite", "rows.yaml", "--seeds", "0-3", "--attacks", "clean", "--epochs", "40", "--dry-run", "--quiet")
    alone, together = tiny.command(*words).out, tiny.command(*words, "--jobs", "2").out
    assert "4 of 4 runs to make: " in alone
    assert "at once" not in alone
    assert "2 at once: " in together


def test_no_time_is_estimated_from_a_start_or_a_warm_up() -> None:
    assert seconds_left([60.0], 9) is None  # the first epoch pays for the start
    assert seconds_left([60.0, 2.0], 8) == 16.0
    assert seconds_left([60.0, 2.0, 2.0], 7, warmup=3) is None  # those to come are of another kind
    assert seconds_left([60.0, 2.0, 2.0, 5.0], 6, warmup=3) == 30.0
    assert seconds_left([60.0, *[9.0] * 9, *[1.0] * 5], 2) == 2.0  # the latest five
    assert seconds_left([60.0, 2.0], 0) is None
    assert warmup_in({"spec": {"config": {"warmup_epochs": 3}}}) == 3
    assert [warmup_in(state) for state in ({}, {"spec": None}, {"spec": {"config": {"warmup_epochs": "x"}}})] == [0] * 3
