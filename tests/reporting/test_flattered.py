"""Rows that the gradient attacks flatter are marked, and the line below the table says why."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
import tiny
from table_records import make_record, write_record

from dfrd_bench.records.schema import Record
from dfrd_bench.reporting.tables.build import build_tables
from dfrd_bench.reporting.tables.rendering import FORMATS, render

READ = [style for style in FORMATS if style != "csv"]


def record(
    pgd: float | None, auto: float | None, square: float | None = None, seed: int = 0, method: str = "ferd"
) -> Record:
    """PGD-20 and AutoAttack leave so much, and Square broke so much of it alone."""
    attacks = {name: (value, 0.1, 0.3) for name, value in (("pgd20", pgd), ("autoattack", auto)) if value is not None}
    stages = {} if square is None or auto is None else {"apgd-ce": 0.9, "fab-t": auto + square, "square": auto}
    attacks["clean"] = (0.95, 0.9, 0.1)
    return make_record(attacks, seed=seed, method=method, stages={"autoattack": stages} if stages else None)


def why(*records: Record) -> str:
    ((row,),) = [table.rows for table in build_tables([("run", one) for one in records])]
    return row.flattered


@pytest.mark.parametrize(
    ("pgd", "auto", "square", "expected"),
    [
        (0.82, 0.65, None, "17.0 points"),
        (0.8, 0.7, None, ""),  # 0.10000000000000009 in floating point: not over 10 points
        (0.7, 0.6, None, ""),
        (0.801, 0.7, None, "10.1 points"),
        (0.6, 0.8, None, ""),
        (0.75, 0.7, 0.005, ""),
        (0.75, 0.7, 0.006, "Square alone 0.60 %"),
        (0.85, 0.7, 0.02, "15.0 points, Square alone 2.00 %"),
        (0.9, None, None, ""),
        (None, 0.2, None, ""),
        (None, 0.2, 0.01, "Square alone 1.00 %"),
    ],
)
def test_a_row_is_flattered_by_over_ten_points_or_where_square_alone_breaks_over_half_a_percent(
    pgd: float | None, auto: float | None, square: float | None, expected: str
) -> None:
    assert why(record(pgd, auto, square)) == expected


def test_of_several_seeds_the_mean_counts_over_those_that_tell() -> None:
    assert why(record(0.8, 0.64), record(0.8, 0.76, seed=1)) == ""
    assert why(record(0.8, 0.64), record(0.8, 0.74, seed=1)) == "11.0 points"
    assert why(record(0.8, 0.64), record(0.1, None, seed=1), record(None, 0.1, seed=2)) == "16.0 points"
    assert why(record(0.7, 0.7, 0.009), record(0.7, 0.7, 0.0, seed=1)) == ""
    assert why(record(0.7, 0.7, 0.009), record(0.7, 0.7, seed=1)) == "Square alone 0.90 %"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for one in (record(0.82, 0.65, method="deepinv"), record(0.72, 0.7)):
        write_record(tmp_path, one)
    return tmp_path


@pytest.mark.parametrize("options", [[], ["--attacks", "clean,pgd20"], ["--published", "ferd:table1"], ["--stages"]])
@pytest.mark.parametrize("style", READ)
def test_the_mark_is_on_the_rows_label_whatever_columns_are_shown(
    results: Path, style: str, options: list[str]
) -> None:
    out = tiny.command("table", results, "--format", style, *options).out
    sign = r"$^\ddagger$" if style == "latex" else "‡"
    assert f"DeepInv{sign}" in out
    assert f"FERD{sign}" not in out
    (line,) = [found for found in out.splitlines() if f"{sign} The gradient attacks flatter this row: " in found]
    shown = " ".join(out.split())  # a terminal wraps it
    assert "PGD-20 leaves over 10 points more than AutoAttack" in shown
    assert "(DeepInv: 17.0 points)" in shown
    assert line


@pytest.mark.parametrize("style", READ)
def test_a_table_without_such_a_row_does_not_speak_of_the_mark(style: str) -> None:
    out = render(build_tables([("run", record(0.72, 0.7))]), style)
    assert "‡" not in out
    assert "ddagger" not in out


def test_rows_of_several_students_are_told_apart_in_the_line() -> None:
    attacks = {"pgd20": (0.8, 0.1, 0.3), "autoattack": (0.6, 0.1, 0.3)}
    records = [make_record(attacks, student=student) for student in ("wrn-10-1", "wrn-10-2")]
    out = render(build_tables([("run", one) for one in records]), "markdown")
    assert "flatter these rows" in out
    assert "(FERD on wrn-10-1: 20.0 points; FERD on wrn-10-2: 20.0 points)" in out


def test_csv_has_a_column_for_it(results: Path) -> None:
    frame = pd.read_csv(io.StringIO(tiny.command("table", results, "--format", "csv").out))
    assert dict(zip(frame["method"], frame["flattered"], strict=True)) == {"deepinv": True, "ferd": False}
