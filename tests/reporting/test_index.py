"""`table --format index`: a row of CSV per run and attack, with the numbers that the records have."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from dfrd_bench.records.store import load_record
from dfrd_bench.reporting.index import COLUMNS, index

RESULTS = Path(__file__).parents[2] / "results" / "digits"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three runs of two methods."""
    for folder in sorted(RESULTS.glob("digits-wrn-10-2/wrn-10-1/zskt/default-seed*"))[:2]:
        shutil.copytree(folder, tmp_path / "results" / folder.relative_to(RESULTS.parent))
    (ferd, *_) = sorted(RESULTS.glob("digits-wrn-10-2/wrn-10-1/ferd/default-seed*"))
    shutil.copytree(ferd, tmp_path / "results" / ferd.relative_to(RESULTS.parent))
    return tmp_path / "results"


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_every_run_and_attack_has_one_row_with_the_numbers_of_its_file(results: Path) -> None:
    outcome = tiny.command("table", results, "--format", "index", "--output", results / "index.csv")
    assert (outcome.code, outcome.out) == (0, f"Wrote {results / 'index.csv'}.\n")
    found = {(row["run"], row["attack"]): row for row in rows((results / "index.csv").read_text())}
    files = {str(path.parent): json.loads(path.read_text()) for path in results.rglob("record.json")}
    assert len(files) == 3
    assert found.keys() == {(run, name) for run, file in files.items() for name in file["evaluation"]["attacks"]}
    for (run, name), row in found.items():
        file, attack = files[run], files[run]["evaluation"]["attacks"][name]
        assert float(row["average"]) == attack["average"]
        assert float(row["worst_class"]) == attack["worst_class"]
        assert float(row["attack_seconds"]) == attack["seconds"]
        assert float(row["training_seconds"]) == file["training"]["seconds"]
        assert row["weights_sha256"] == file["weights_sha256"]
        assert run.endswith(f"seed{row['seed']}-{row['hash']}")
        assert (row["method"], row["threads"]) == (file["spec"]["method"], str(file["environment"]["threads"]))


def test_it_needs_no_pytorch(results: Path) -> None:
    code = (
        "import sys; from dfrd_bench.cli.main import main\n"
        f"try: main(['table', {str(results)!r}, '--format', 'index'])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'torch', 'pandas', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_it_is_narrowed_to_a_suite_and_to_attacks_and_the_same_each_time(results: Path) -> None:
    (results / "mine.yaml").write_text("title: Mine\nruns:\n- {method: zskt}\nseeds: 0-9\n")
    words = ("table", results, "--format", "index", "--attacks", "clean,pgd20", "--suite", results / "mine.yaml")
    outcome = tiny.command(*words)
    assert [(row["method"], row["attack"]) for row in rows(outcome.out)] == [("zskt", "clean"), ("zskt", "pgd20")] * 2
    assert tiny.command(*words).out == outcome.out


def test_what_a_spreadsheet_would_run_is_text_and_what_is_undefined_is_empty(results: Path) -> None:
    path = next(results.rglob("ferd/*/record.json"))
    record = load_record(path.parent)
    clean = record.evaluation.attacks["clean"].model_copy(update={"nsd": None})
    evaluation = record.evaluation.model_copy(update={"attacks": {"clean": clean}})
    spec = record.spec.model_copy(update={"variant": "=1+1"})
    (row,) = rows(index([("-run", record.model_copy(update={"spec": spec, "evaluation": evaluation}))]))
    assert (row["run"], row["variant"], row["nsd"]) == ("'-run", "'=1+1", "")
    assert tuple(row) == COLUMNS


@pytest.mark.parametrize("option", [["--teacher"], ["--ci"], ["--metrics", "average"], ["--tracks", "both"]])
def test_options_of_tables_are_refused(results: Path, option: list[str]) -> None:
    outcome = tiny.command("table", results, "--format", "index", *option)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert f"leave {option[0]} out" in outcome.err


def test_a_record_that_does_not_hold_is_left_out_and_named(results: Path) -> None:
    path = next(results.rglob("ferd/*/record.json"))
    file = json.loads(path.read_text())
    file["evaluation"]["attacks"]["clean"]["average"] += 0.01
    path.write_text(json.dumps(file))
    outcome = tiny.command("table", results, "--format", "index")
    assert outcome.code == 1
    assert {row["method"] for row in rows(outcome.out)} == {"zskt"}
    assert outcome.err.startswith("Skipped: ")
