"""`dfrd-bench merge`: what is whole and missing is taken, and nothing is ever overwritten."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.alone import alone_in
from dfrd_bench.runs import merging


def run_in(results: Path) -> Path:
    (path,) = results.rglob("record.json")
    return path.parent


@pytest.fixture
def source(made: Path, tmp_path: Path) -> Path:
    """Results of another machine."""
    return Path(shutil.copytree(made, tmp_path / "source"))


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "record.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def merged(tmp_path: Path, *sources: Path) -> tiny.Outcome:
    return tiny.command("merge", *sources, "--into", tmp_path / "into")


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in tiny.files_below(folder)}


def test_a_run_that_is_missing_is_taken_whole_and_only_once(source: Path, tmp_path: Path) -> None:
    before = contents(source)
    (run_in(source) / "lock").write_text("left behind")
    (run_in(source) / "checkpoint").mkdir()
    (run_in(source) / "checkpoint" / "method.pt").write_text("large")
    first = merged(tmp_path, source)
    assert (first.code, first.out.splitlines()[-1]) == (0, "1 taken, 0 there already, 0 refused.")
    assert contents(tmp_path / "into") == before
    assert tiny.command("verify", tmp_path / "into").code == 0
    second = merged(tmp_path, source)
    assert (second.code, second.out.splitlines()[-1]) == (0, "0 taken, 1 there already, 0 refused.")
    assert contents(tmp_path / "into") == before


def test_a_single_run_goes_where_a_run_of_its_settings_lies(source: Path, tmp_path: Path) -> None:
    outcome = merged(tmp_path, run_in(source))
    assert outcome.code == 0
    assert contents(tmp_path / "into") == contents(source)


def test_a_run_that_was_made_again_elsewhere_with_the_same_outcome_is_there(source: Path, tmp_path: Path) -> None:
    merged(tmp_path, source)
    record = json.loads((run_in(source) / "record.json").read_text())
    record["training"]["seconds"] += 1
    edit(run_in(source), training=record["training"])
    assert "1 there already" in merged(tmp_path, source).out


def test_two_different_records_of_one_hash_are_refused_and_the_first_stays(source: Path, tmp_path: Path) -> None:
    merged(tmp_path, source)
    before = contents(tmp_path / "into")
    folder = run_in(source)
    (folder / "student.safetensors").unlink()
    edit(folder, weights_sha256="0" * 64)
    moved = Path(shutil.move(source, tmp_path / "b"))
    outcome = merged(tmp_path, moved)
    assert outcome.code == 1
    assert "of the same hash and of other weights" in outcome.out
    assert str(run_in(tmp_path / "into")) in outcome.out
    assert contents(tmp_path / "into") == before


def test_two_sources_that_contradict_each_other_are_told(source: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(source, tmp_path / "other"))
    (run_in(other) / "student.safetensors").unlink()
    edit(run_in(other), weights_sha256="0" * 64)
    outcome = merged(tmp_path, source, other)
    assert (outcome.code, outcome.out.splitlines()[-1]) == (1, "1 taken, 0 there already, 1 refused.")
    assert contents(tmp_path / "into") == contents(source)


def test_a_record_with_more_attacks_is_not_taken_in_silence(source: Path, tmp_path: Path) -> None:
    merged(tmp_path, source)
    folder = run_in(tmp_path / "into")
    record = json.loads((folder / "record.json").read_text())
    del record["evaluation"]["attacks"]["pgd20"]
    edit(folder, evaluation=record["evaluation"])
    outcome = merged(tmp_path, source)
    assert outcome.code == 1
    assert "the record there lacks pgd20" in outcome.out


@pytest.mark.parametrize("damage", ["number", "predictions", "weights", "record"])
def test_what_does_not_hold_is_not_taken(source: Path, tmp_path: Path, damage: str) -> None:
    folder = run_in(source)
    if damage == "number":
        record = json.loads((folder / "record.json").read_text())
        record["evaluation"]["attacks"]["clean"]["average"] += 0.01
        edit(folder, evaluation=record["evaluation"])
    elif damage == "predictions":
        (folder / "predictions.npz").unlink()
    elif damage == "weights":
        (folder / "student.safetensors").write_bytes(b"something else")
    else:
        (folder / "record.json").write_text("{")
    outcome = merged(tmp_path, source)
    assert (outcome.code, outcome.out.splitlines()[-1]) == (1, "0 taken, 0 there already, 1 refused.")
    assert not tiny.files_below(tmp_path / "into")


def test_a_run_that_is_being_made_there_is_left_alone(source: Path, tmp_path: Path) -> None:
    place = tmp_path / "into" / run_in(source).relative_to(source)
    with alone_in(place):
        outcome = merged(tmp_path, source)
        assert outcome.code == 1
        assert "is making a run in" in outcome.out
    place.mkdir(parents=True)
    (place / "state").write_text("{}")
    assert "finish that run, or move it away" in merged(tmp_path, source).out
    assert tiny.files_below(tmp_path / "into") == [str((place / "state").relative_to(tmp_path / "into"))]


def test_a_copy_that_breaks_off_leaves_nothing(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(merging.os, "fsync", refuse)  # type: ignore[attr-defined]
    outcome = merged(tmp_path, source)
    assert outcome.code == 1
    assert "No space left on device" in outcome.out
    assert not tiny.files_below(tmp_path / "into")


def test_a_trained_teacher_comes_with_its_weights(
    tmp_path: Path, few_digits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "a" / "teachers" / "t.safetensors"
    small = ("--epochs", "1", "--set", "attack_steps=1", "--set", "batch_size=30", "--arch", "wrn-10-1")
    made = tiny.command("teacher", "train", *small, "--attacks", "clean", "--output", weights, "--quiet")
    assert made.code == 0, made.err
    outcome = merged(tmp_path, tmp_path / "a")
    assert outcome.code == 0, outcome.out
    assert contents(tmp_path / "into") == contents(tmp_path / "a")


def test_bad_input_is_one_line(source: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for words, complaint in [
        ((tmp_path / "nowhere",), "There is no results folder"),
        ((source, tmp_path / "empty"), "There is no record below"),
        ((tmp_path,), "lie in one another"),
    ]:
        outcome = merged(tmp_path, *words)
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert complaint in outcome.err
        assert outcome.out == ""
    with pytest.raises(DfrdBenchError):
        list(merging.merge([source], source))
