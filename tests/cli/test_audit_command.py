"""`dfrd-bench audit`: what it prints, and its exit code."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import tiny

from dfrd_bench.reporting.published import published

RESULTS = Path(__file__).parent.parent.parent / "results"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A results folder with the record of one committed run in it."""
    source = min((RESULTS / "digits").rglob("*/teacher/*/record.json"))
    (tmp_path / "results" / "run").mkdir(parents=True)
    shutil.copy(source, tmp_path / "results" / "run")
    return tmp_path / "results"


def tamper(results: Path, old: str, new: str) -> None:
    path = results / "run" / "record.json"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def test_runs_in_order_give_one_line_and_exit_code_0(copied: Path) -> None:
    outcome = tiny.command("audit", copied)
    assert (outcome.code, outcome.out, outcome.err) == (0, "No rule is broken.\n", "")


def test_results_is_the_folder_unless_one_is_given(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(copied.parent)
    assert tiny.command("audit").code == 0
    copied.rename(copied.parent / "elsewhere")
    outcome = tiny.command("audit")
    assert outcome.code == 2
    assert outcome.err.startswith("Error: The results folder results does not exist.")


def test_a_changed_record_is_found_and_gives_exit_code_1(copied: Path) -> None:
    tamper(copied, '"worst_class": 0.', '"worst_class": 0.0')
    outcome = tiny.command("audit", copied)
    assert outcome.code == 1
    assert outcome.out.startswith(f"{copied / 'run'}\n  teacher on ")
    assert "confusion: The confusion matrix gives another worst-class." in outcome.out
    assert outcome.out.splitlines()[-1] == "5 findings: 1 impossible, 1 contradictory, 3 suspicious."


def test_an_invalid_record_among_good_ones_gives_exit_code_1(copied: Path) -> None:
    (copied / "bad").mkdir()
    (copied / "bad" / "record.json").write_text("{")
    outcome = tiny.command("audit", copied)
    assert outcome.code == 1
    assert outcome.err.startswith(f"Skipped: {copied / 'bad' / 'record.json'} is not a valid record")


@pytest.mark.parametrize("args", [("nowhere",), ("--format", "html"), ("--pubished",)])
def test_bad_input_gives_one_line_and_exit_code_2(args: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("{")
    outcome = tiny.command("audit", *args)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.startswith("Error: ")
    assert outcome.err.count("\n") == 1
    assert tiny.command("audit", tmp_path).code == 2


def test_one_published_table_has_its_own_findings_and_those_that_speak_of_it() -> None:
    everything = pd.read_csv(io.StringIO(tiny.command("audit", "--published", "--format", "csv").out))
    places = everything["where"].value_counts()
    name, count = str(places.index[0]), int(places.iloc[0])
    one = tiny.command("audit", "--published", name, "--format", "csv")
    frame = pd.read_csv(io.StringIO(one.out))
    assert (frame["where"] == name).sum() == count
    elsewhere = frame[frame["where"] != name]
    assert elsewhere["sentence"].str.endswith(f" in {name}.").all()
    assert len(frame) == count + everything["sentence"].str.endswith(f" in {name}.").sum()
    text = tiny.command("audit", "--published", name)
    assert text.code == 1
    assert re.search(rf"^{name} +\d+ rows +\d+ numbers", text.out, re.MULTILINE)
    paper = name.partition(":")[0]
    assert text.out.count("Version of ") == 1
    whole = pd.read_csv(io.StringIO(tiny.command("audit", "--published", paper, "--format", "csv").out))
    assert len(whole) == everything["where"].str.startswith(f"{paper}:").sum()


def test_published_tables_can_be_listed_and_a_wrong_name_is_refused_with_the_one_that_is_meant(tmp_path: Path) -> None:
    listed = tiny.command("audit", "--published", "list")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.out.splitlines()] == list(published())
    rows, numbers = listed.out.splitlines()[0].split()[1], listed.out.splitlines()[0].split()[3]
    first = published()[next(iter(published()))]
    assert (int(rows), int(numbers)) == (len({(entry.row) for entry in first}), len(first))
    for name, said in (
        ("fred:table1", "Did you mean 'ferd'"),
        ("ferd:tabel2", "Did you mean 'ferd:table"),
        (str(tmp_path), "name the folder"),
    ):
        done = tiny.command("audit", "--published", name)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert said in done.err


def test_published_tables_are_audited_without_any_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = tiny.command("audit", "--published")
    assert outcome.code == 1
    assert "autoattack average 40.12, cw average 36.17" in outcome.out
    assert "fair-ard:table4\n" in outcome.out
    assert outcome.out.splitlines()[-1] == "58 findings: 14 contradictory, 44 suspicious."


def test_audited_papers_are_named_with_their_versions(copied: Path) -> None:
    text, table = tiny.command("audit", "--published"), tiny.command("audit", "--published", "--format", "csv")
    first, second, blank = text.out.splitlines()[:3]
    assert first == (
        "Version of ferd: FERD as it was under review at ICLR 2026 (OpenReview, anonymous); "
        "arXiv v2 and the conference version print other numbers."
    )
    assert second == "Version of fair-ard: Fair-ARD, the main text of the paper at NeurIPS 2023."
    assert blank == ""
    assert table.err.splitlines() == [first, second]
    assert "Version" not in table.out
    assert "Version" not in tiny.command("audit", copied).out


def test_csv_has_a_row_per_finding(copied: Path) -> None:
    outcome = tiny.command("audit", copied, "--published", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(outcome.out)))
    assert len(rows) == 58
    assert list(rows[0]) == ["where", "row", "cell", "rule", "kind", "numbers", "sentence"]
    assert outcome.code == 1


def test_nothing_heavy_is_imported(copied: Path) -> None:
    code = (
        "import sys; from dfrd_bench.cli.audit import audit\n"
        f"try: audit([{str(copied)!r}, '--published'], standalone_mode=False)\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'torchvision', 'robustbench', 'sklearn', 'pandas'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
