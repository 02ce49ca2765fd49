"""Who names a folder that holds no record is told where was looked, and which runs are nearest."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from dfrd_bench import DfrdBenchError, load_student
from dfrd_bench.records.nearest import meant_instead

RUNS = (
    "digits/ferd/default-seed0-aaaa1111",
    "digits/ferd/default-seed1-bbbb2222",
    "digits/zskt/default-seed0-cccc3333",
)


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three runs below `results`, as far as their names."""
    monkeypatch.chdir(tmp_path)
    for run in RUNS:
        (folder := tmp_path / "results" / run).mkdir(parents=True)
        (folder / "record.json").touch()


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("nope", " `dfrd-bench list runs results` shows the 3 runs that are below results."),
        ("zskt", f" Did you mean 'results/{RUNS[2]}'?"),
        ("default-seed1", f" Did you mean 'results/{RUNS[1]}'?"),
        ("default-seed1-bbbb2223", f" Did you mean 'results/{RUNS[1]}'?"),
        ("results/digits/ferd/default-seed1-bbbb2222x", f" Did you mean 'results/{RUNS[1]}'?"),
        ("results/digits/ferd", f" There are 2 runs below it: name one of them, such as 'results/{RUNS[0]}'."),
        ("/nowhere/at/all", " `dfrd-bench list runs results` shows the 3 runs that are below results."),
    ],
)
def test_the_nearest_runs_are_named(named: str, said: str) -> None:
    assert meant_instead(Path(named)) == said


def test_where_no_run_is_nothing_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert meant_instead(Path("nope")) == ""


def test_load_student_says_what_it_looked_for_and_where(tmp_path: Path) -> None:
    with pytest.raises(DfrdBenchError) as refused:
        load_student("zskt")
    assert str(refused.value) == (
        f"No record in zskt: record.json is missing. Looked for {tmp_path}/zskt/record.json. "
        f"Did you mean 'results/{RUNS[2]}'?"
    )


@pytest.mark.parametrize(
    "words", [("evaluate", "zskt"), ("figure", "confusion", "zskt"), ("export", "zskt", "-o", "x")], ids=lambda w: w[0]
)
def test_commands_that_take_a_run_say_so_too(words: tuple[str, ...]) -> None:
    refused = tiny.command(*words)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert f"Did you mean 'results/{RUNS[2]}'?" in refused.err
