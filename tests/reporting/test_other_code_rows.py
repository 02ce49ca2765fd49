"""Runs of one method by different code: rows of their own in tables and comparisons, and which of them is of today's code."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
from measured_runs import LABELS, measured, right_on

from dfrd_bench.registry import METHODS
from dfrd_bench.reporting.comparison.matrix import compare_rows
from dfrd_bench.reporting.comparison.members import members_of
from dfrd_bench.reporting.figures.choice import Wanted, choose_table, narrowed_runs
from dfrd_bench.reporting.found import find_runs
from dfrd_bench.reporting.site.rows import badges

OLD = "0ddc0de0" * 8
OLD_WRONG, NEW_WRONG = (60, 90, 120), (150, 180)  # images of 600, a seed each


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """FERD by old code with seeds 0 to 2, by today's with 0 and 1; Fast by old code only; ZSKT of today."""
    for seed, wrong in enumerate(OLD_WRONG):
        measured(tmp_path, {"pgd20": right_on(wrong)}, seed=seed, code=OLD)
    for seed, wrong in enumerate(NEW_WRONG):
        measured(tmp_path, {"pgd20": right_on(wrong)}, seed=seed, code=METHODS.code("ferd"))
    measured(tmp_path, {"pgd20": right_on(300)}, method="fast", code=OLD)
    measured(tmp_path, {"pgd20": right_on(330)}, method="zskt", code=METHODS.code("zskt"))
    return tmp_path


def table(results: Path, *options: str) -> str:
    done = tiny.command("table", results, "--metrics", "average", *options)
    assert done.code == 0, done.err
    return done.out


def test_seeds_made_by_different_code_are_never_averaged_and_todays_row_comes_first(results: Path) -> None:
    rows = [*csv.DictReader(io.StringIO(table(results, "--format", "csv")))]
    ferd = [row for row in rows if row["method"] == "ferd"]
    assert [row["settings"] for row in ferd] == [f"code={METHODS.code('ferd')[:8]}", "code=0ddc0de0"]
    means = [1 - np.mean(wrong) / len(LABELS) for wrong in (NEW_WRONG, OLD_WRONG)]
    assert [float(row["pgd20_average"]) for row in ferd] == pytest.approx(means)
    assert [(row["method"], row["other_code"]) for row in rows] == [
        ("zskt", "False"),
        ("fast", "True"),
        ("ferd", "False"),
        ("ferd", "True"),
    ]


@pytest.mark.parametrize("style", ["terminal", "markdown", "html", "latex"])
def test_a_row_by_other_code_is_marked_and_one_line_says_by_which(results: Path, style: str) -> None:
    lines = table(results, "--format", style).splitlines()
    sign = r"\P{}" if style == "latex" else "¶"
    marked = [line for line in lines if sign in line]
    assert len(marked) == 3  # two rows, and the line about them
    assert {"Fast" in line or "0ddc0de0" in line for line in marked} == {True}
    (line,) = (line for line in lines if "Not by today" in line)
    text = " ".join(" ".join(lines[lines.index(line) :]).split())  # which a terminal breaks
    for method in ("ferd", "fast"):
        assert "made by 0ddc0de0, today" in text
        assert f"s is {METHODS.code(method)[:8]}" in text
    assert METHODS.code("zskt")[:8] not in text


def test_the_brief_table_and_the_one_of_costs_say_it_once(results: Path) -> None:
    done = tiny.command("table", results, "--brief")
    assert done.out.count("¶") == 3
    assert table(results, "--cost").count("¶") == 3


def test_todays_code_and_records_that_name_none_are_not_marked(tmp_path: Path) -> None:
    measured(tmp_path, {"pgd20": right_on(60)}, code=METHODS.code("ferd"))
    measured(tmp_path, {"pgd20": right_on(90)}, method="zskt")
    measured(tmp_path, {"pgd20": right_on(90)}, method="not-installed", code=OLD)
    out = table(tmp_path)
    assert "¶" not in out
    assert "code" not in out
    measured(tmp_path, {"pgd20": right_on(60)}, seed=1)
    out = table(tmp_path)
    assert "¶" not in out
    assert "FERD (code=not named)" in out
    assert "whose seeds are never averaged; not named: their records" in " ".join(out.split())


def test_rows_whose_records_all_name_their_code_are_not_said_to_be_old(tmp_path: Path) -> None:
    measured(tmp_path, {"pgd20": right_on(60)}, code=METHODS.code("ferd"))
    measured(tmp_path, {"pgd20": right_on(90)}, seed=1, code=OLD)
    out = " ".join(table(tmp_path).split())
    assert "code=…: rows made by different code of the method, whose seeds are never averaged." in out
    assert "not named" not in out


def test_the_index_says_by_which_code_each_run_was_made(results: Path) -> None:
    measured(results, {"pgd20": right_on(60)}, method="dfhl")
    rows = csv.DictReader(io.StringIO(tiny.command("table", results, "--format", "index").out))
    assert {(row["method"], row["code"][:8], row["other_code"]) for row in rows} == {
        ("ferd", "0ddc0de0", "True"),
        ("ferd", METHODS.code("ferd")[:8], "False"),
        ("fast", "0ddc0de0", "True"),
        ("zskt", METHODS.code("zskt")[:8], "False"),
        ("dfhl", "", ""),
    }


def test_a_comparison_keeps_them_apart_under_names_of_their_own(results: Path) -> None:
    found = compare_rows(members_of([str(results)], results))
    names = [f"FERD (code={METHODS.code('ferd')[:8]})", "FERD (code=0ddc0de0)"]
    assert found.rows == ("Fast", *names, "ZSKT")
    assert found.seeds == ((0,), (0, 1), (0, 1, 2), (0,))
    text = tiny.command("compare", results, "--metrics", "average").out
    assert "FERD (code=0ddc0de0)¶ " in text
    assert text.count("¶") == 3
    assert tiny.command("compare", results, "--format", "csv").err.count("¶") == 1


def test_two_runs_that_differ_in_code_or_in_a_setting_have_different_labels(tmp_path: Path) -> None:
    by_code = [measured(tmp_path, {"pgd20": right_on(9)}, code=code)[0] for code in (OLD, METHODS.code("ferd"))]
    assert tiny.command("compare", *by_code).out.splitlines()[:2] == [
        "A: FERD (code=0ddc0de0) on wrn-10-1, seed 0¶",
        f"B: FERD (code={METHODS.code('ferd')[:8]}) on wrn-10-1, seed 0",
    ]
    by_setting = [measured(tmp_path, {"pgd20": right_on(9)}, config={"epochs": n}, method="cmi")[0] for n in (2, 3)]
    assert tiny.command("compare", *by_setting).out.splitlines()[:2] == [
        "A: CMI (epochs=2) on wrn-10-1, seed 0",
        "B: CMI (epochs=3) on wrn-10-1, seed 0",
    ]


def test_a_copy_of_a_run_is_no_further_seed(results: Path) -> None:
    shutil.copytree(results / "digits", results / "copies" / "digits")
    found = compare_rows(members_of([str(results)], results))
    assert found.seeds == ((0,), (0, 1), (0, 1, 2), (0,))


def test_a_figure_notes_which_of_its_rows_are_by_other_code(results: Path) -> None:
    runs = narrowed_runs(find_runs([results]).runs, Wanted())
    _, notes = choose_table(runs, Wanted())
    assert [note.startswith("¶ Not by today") for note in notes] == [True]
    assert choose_table(narrowed_runs(runs, Wanted(methods=("zskt",))), Wanted())[1] == ()


def test_in_the_report_a_run_by_other_code_has_a_badge_that_says_by_which(tmp_path: Path) -> None:
    _, old = measured(tmp_path, {"pgd20": right_on(60)}, code=OLD)
    _, new = measured(tmp_path, {"pgd20": right_on(60)}, code=METHODS.code("ferd"))
    assert badges([new], "", None) == ()
    (badge,) = badges([old], "", None)
    assert badge.text == "other code ¶"
    assert f"made by 0ddc0de0, today's is {METHODS.code('ferd')[:8]}" in badge.why
