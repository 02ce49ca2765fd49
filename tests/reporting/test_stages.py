"""`table --stages`: what stood after each stage of AutoAttack, in a table of its own below."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pandas as pd
import pytest
import tiny
from table_records import make_record, write_record

NUMBERS = {"clean": (0.95, 0.9, 0.1), "autoattack": (0.5, 0.2, 0.3), "autoattack-fast": (0.51, 0.2, 0.3)}
STANDARD = {"apgd-ce": 0.625, "apgd-t": 0.56, "fab-t": 0.505, "square": 0.5}
FAST = {"apgd-ce": 0.61, "apgd-t": 0.57, "apgd-t-rest": 0.53, "fab-t": 0.52, "square": 0.51}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """FERD with stages in two of three seeds, Fast without."""
    more = {**STANDARD, "apgd-ce": 0.675}
    for seed, stages in enumerate((STANDARD, more, None)):
        known = {"autoattack": stages} if stages else None
        write_record(tmp_path, make_record(NUMBERS, seed=seed, stages=known))
    write_record(tmp_path, make_record(NUMBERS, method="fast"))
    return tmp_path


def shown(results: Path, style: str, *options: str) -> str:
    done = tiny.command("table", results, "--format", style, *options)
    assert done.code == 0, done.err
    return done.out


def test_below_each_table_stands_the_mean_after_every_stage(results: Path) -> None:
    plain, out = shown(results, "markdown"), shown(results, "markdown", "--stages")
    main, below = out.split("\n\n**What the stages of AA leave on digits, distilled from wrn-teacher**\n\n")
    assert main.splitlines()[:6] == plain.splitlines()[:6]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in below.splitlines() if line.startswith("|")
    ]
    assert rows[0] == ["Student", "Method", "Seeds", *(f"AA<br>{n}" for n in ("APGD-CE", "APGD-T", "FAB-T", "Square"))]
    assert rows[2] == ["wrn-10-1", "Fast", "1", "·", "·", "·", "·"]
    assert rows[3] == ["", "FERD", "3", "65.00 ± 3.54", "56.00 ± 0.00", "50.50 ± 0.00", "50.00 ± 0.00"]
    assert "· not recorded" in below
    assert "bold" not in below  # nothing competes here
    assert "FERD on wrn-10-1: the stages of AA are recorded for 2 of 3 seeds only." in main


def test_without_the_option_nothing_is_said_of_stages(results: Path) -> None:
    assert "APGD" not in shown(results, "terminal")
    assert "apgd" not in shown(results, "csv")


@pytest.mark.parametrize("style", ["terminal", "html", "latex"])
def test_other_formats_have_the_same_table(results: Path, style: str) -> None:
    out = shown(results, style, "--stages")
    below = out[out.rindex("What the stages of AA leave") :]
    assert re.findall(r"APGD-CE|APGD-T|FAB-T|Square", below) == ["APGD-CE", "APGD-T", "FAB-T", "Square"]
    assert re.findall(r"\d\d\.\d\d", below) == ["65.00", "56.00", "50.50", "50.00"]


def test_every_attack_has_as_many_columns_as_stages_and_latex_a_label_for_each(tmp_path: Path) -> None:
    write_record(tmp_path, make_record(NUMBERS, stages={"autoattack": STANDARD, "autoattack-fast": FAST}))
    out = shown(tmp_path, "latex", "--stages", "--wide")
    assert re.findall(r"\\begin\{tabular\}\{(\w+)\}", out) == ["l" + "c" * n for n in (9, 4, 5)]
    labels = re.findall(r"\\label\{(.*?)\}", out)
    assert len(labels) == len(set(labels)) == 3


def test_csv_has_them_as_columns_of_the_same_rows(results: Path) -> None:
    frame = pd.read_csv(io.StringIO(shown(results, "csv", "--stages")))
    fast, ferd = frame.set_index("method").loc["fast"], frame.set_index("method").loc["ferd"]
    stages = [name for name in frame if re.fullmatch("autoattack_after_.*(?<!_std)", name)]
    assert stages == [f"autoattack_after_{stage}" for stage in STANDARD]
    assert [ferd[name] for name in stages] == pytest.approx([0.65, 0.56, 0.505, 0.5])
    assert fast[stages].isna().all()
    assert fast["autoattack_average"] == 0.5


def test_rows_of_a_paper_have_none(results: Path) -> None:
    out = shown(results, "markdown", "--stages", "--published", "ferd:table1")
    assert "ferd:table1" not in out[out.rindex("What the stages of AA leave") :]
    assert "65.00 ± 3.54" in out


def test_records_without_any_say_so(tmp_path: Path) -> None:
    write_record(tmp_path, make_record(NUMBERS))
    out = shown(tmp_path, "markdown", "--stages")
    assert "No attack shown here was recorded with its stages" in out
    assert "APGD" not in out


def test_a_mark_on_a_row_is_explained_below_this_table_too(tmp_path: Path) -> None:
    write_record(tmp_path, make_record(NUMBERS, stages={"autoattack": {"fab-t": 0.55, "square": 0.5}}))
    out = shown(tmp_path, "latex", "--stages", "--wide")
    assert out.count(r"FERD$^\ddagger$ &") == out.count(r"(FERD: Square alone 5.00 \%)") == 2
