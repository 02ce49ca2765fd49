"""`list runs` and `show RUN` say how far runs came: a run is stopped on its way, and finished ones are counted on disk."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
import tiny

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.store import load_record
from dfrd_bench.runs.overview import runs_below, standing
from dfrd_bench.runs.run import run

RESULTS = Path(__file__).parent.parent.parent / "results"
COMMITTED = sorted(path.parent for path in (RESULTS / "digits").rglob("record.json"))


def begun(results: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose first attack of the evaluation fails, after its 2 epochs."""
    tiny.cut_digits(monkeypatch)

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr("dfrd_bench.runs.measurement.measure", broken)
    settings = {"batch_size": 8, "distillation_steps": 1, "attack_steps": 1, "generator_steps": 1}
    with pytest.raises(DfrdBenchError, match="the disk is on fire"):
        run("zskt", results=str(results), settings=settings, epochs=2, attacks=("clean",))
    (folder,) = (path.parent for path in results.rglob("state"))
    return folder


def test_a_run_that_failed_in_its_evaluation_says_so_with_what_it_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begun(tmp_path / "results", monkeypatch)
    (found,) = runs_below(tmp_path / "results")
    assert (found.folder, found.status) == (folder, "stopped")
    assert found.where == "evaluation, after 2 of 2 epochs"
    assert found.error == "RuntimeError: the disk is on fire"
    listed = tiny.command("list", "runs", tmp_path / "results")
    assert "1 runs below" in listed.out
    assert "1 stopped" in listed.out
    shown = tiny.command("show", folder)
    assert shown.out.splitlines()[1:3] == [f"stopped: {found.where}", f"its last error: {found.error}"]


def test_where_somebody_said_lately_that_he_is_alive_he_is_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begun(tmp_path / "results", monkeypatch)
    lock = {"host": "far", "process": 7, "attempt": "x", "beat": time.time()}
    (folder / "lock").write_text(json.dumps(lock))
    assert standing(folder).status == "at work"
    assert standing(folder).where.endswith("by process 7 on far")
    (folder / "lock").write_text(json.dumps({**lock, "beat": time.time() - 3600}))
    assert standing(folder).status == "stopped"
    (folder / "lock").write_text("[")
    assert standing(folder).status == "stopped"


def test_every_record_on_disk_is_listed_once_and_with_its_own_numbers() -> None:
    rows = {row["folder"]: row for row in json.loads(tiny.command("list", "runs", RESULTS / "digits", "--json").out)}
    assert sorted(rows) == sorted(map(str, COMMITTED))
    for folder in COMMITTED:
        clean = json.loads((folder / "record.json").read_text())["evaluation"]["attacks"]["clean"]["average"]
        assert rows[str(folder)]["status"] == "finished"
        assert rows[str(folder)]["where"].startswith(f"clean {100 * clean:.1f}, ")


def test_a_record_that_is_damaged_is_no_finished_run(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "record.json").write_text("{}")
    (found,) = runs_below(tmp_path)
    assert found.status == "unreadable"
    assert "is not a valid record" in found.where


def test_list_runs_says_where_to_look_and_takes_a_folder_for_nothing_else(tmp_path: Path) -> None:
    assert "There is no results folder" in tiny.command("list", "runs", tmp_path / "none").err
    assert "A folder is for `list runs`" in tiny.command("list", "methods", tmp_path).err


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda folder: folder.parent.name + folder.name[-9:])
def test_a_run_is_shown_with_every_setting_every_warning_and_every_file(folder: Path) -> None:
    record, shown = load_record(folder), tiny.command("show", folder)
    assert (shown.code, shown.err) == (0, "")
    words = " ".join(shown.out.split())
    for warning in record.warnings:
        assert " ".join(warning.split()) in words
    for path in folder.iterdir():
        assert f" {path.name} " in words
    for name in record.spec.config:
        assert re.search(rf"\b{name}=", words)
    for attack in record.evaluation.attacks.values():
        assert f" {100 * attack.average:.2f} " in words


def test_a_record_that_contradicts_its_evidence_is_shown_with_what_does(tmp_path: Path) -> None:
    content = json.loads((COMMITTED[0] / "record.json").read_text())
    content["evaluation"]["attacks"]["pgd20"]["average"] = 0.99
    (tmp_path / "record.json").write_text(json.dumps(content))
    shown = " ".join(tiny.command("show", tmp_path).out.split())
    assert "Warning 1. This record contradicts its evidence: pgd20: average is 0.99" in shown


def test_a_run_as_json_is_its_record() -> None:
    shown = json.loads(tiny.command("show", COMMITTED[0], "--json").out)
    assert shown["spec"] == json.loads((COMMITTED[0] / "record.json").read_text())["spec"] | shown["spec"]
    assert "has its own" in tiny.command("show", COMMITTED[0], "--preset", "quick").err
