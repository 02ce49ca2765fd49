"""Methods that see the training images and those that see nothing are not ranked together unless somebody asks for it."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
import tiny
from table_records import make_record, write_record

from dfrd_bench.records.schema import NO_TEACHER, Record
from dfrd_bench.reporting.paper import Paper
from dfrd_bench.reporting.tables.build import build_tables
from dfrd_bench.reporting.tables.layout import ResultTable
from dfrd_bench.reporting.tables.rendering import FORMATS, render

DATA = "training images"


def run_of(method: str, average: float, *, sees: str = DATA, teacher: str = "t", **others: Any) -> Record:
    sha256 = "" if teacher == NO_TEACHER.name else "a" * 64
    record = make_record(
        {"pgd20": (average, 0.1, 0.5)}, method=method, sees=sees, teacher=teacher, sha256=sha256, **others
    )
    if teacher == NO_TEACHER.name:
        return record.model_copy(update={"spec": record.spec.model_copy(update={"teacher": NO_TEACHER})})
    return record


FERD, FAST = run_of("ferd", 0.4, sees="nothing"), run_of("fast", 0.3, sees="nothing")
RSLAD, ARD = run_of("rslad", 0.6), run_of("ard", 0.5)
TRADES = run_of("trades", 0.45, teacher="none")


def tables(*records: Record, **options: Any) -> list[ResultTable]:
    return build_tables([(f"run{i}", record) for i, record in enumerate(records)], **options)


def shown(table: ResultTable) -> dict[str, str | None]:
    """Each row's mark."""
    return {
        row.label: cell.mark for row in table.rows for column, cell in row.cells.items() if column.title == "Avg. ↑"
    }


def test_each_track_has_its_table_and_its_own_best() -> None:
    free, data = tables(RSLAD, FERD, ARD, FAST)
    assert shown(free) == {"Fast": "second", "FERD": "best"}
    assert shown(data) == {"ARD": "second", "RSLAD": "best"}
    assert free.title == "Robustness and class fairness on digits, distilled from t"
    assert data.title == f"{free.title} with the training images"


def test_both_are_ranked_together_where_asked_and_a_column_says_what_each_sees() -> None:
    (table,) = tables(RSLAD, FERD, ARD, FAST, tracks="both")
    assert shown(table) == {"Fast": None, "FERD": None, "ARD": "second", "RSLAD": "best"}
    text = render([table], "markdown")
    assert "with and without the training images" in text
    header, _, *rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [cell.strip() for cell in header.split("|")][1:4] == ["Student", "Method", "Sees"]
    seen = {cells[2].strip(): cells[3].strip() for cells in (row.split("|") for row in rows)}
    assert seen == {"Fast": "nothing", "FERD": "nothing", "ARD": DATA, "RSLAD": DATA}


@pytest.mark.parametrize("style", FORMATS)
def test_every_format_shows_what_is_seen(style: str) -> None:
    text = render(tables(RSLAD, FERD, tracks="both"), style)
    assert text.count(DATA) >= 1
    assert "nothing" in text


def test_together_is_the_same_where_there_is_one_track() -> None:
    for records in ([FERD, FAST], [RSLAD, ARD]):
        assert tables(*records, tracks="both") == tables(*records)


class TestWithoutATeacher:
    def test_rows_stand_in_the_table_of_every_teacher_that_has_others_of_their_track(self) -> None:
        other = run_of("rslad", 0.2, teacher="u")
        found = {table.teacher: list(shown(table)) for table in tables(TRADES, RSLAD, other)}
        assert found == {"t": ["TRADES", "RSLAD"], "u": ["TRADES", "RSLAD"]}

    def test_not_in_a_table_of_data_free_rows(self) -> None:
        free, own = tables(TRADES, FERD)
        assert (free.teacher, list(shown(free))) == ("t", ["FERD"])
        assert (own.teacher, list(shown(own))) == ("none", ["TRADES"])
        assert "trained without a teacher with the training images" in own.title
        assert any("No teacher." in line for line in own.legend)

    def test_a_teacher_that_is_none_is_no_other_teacher(self) -> None:
        (table,) = tables(TRADES, RSLAD)
        assert table.warnings == ()
        assert "Teacher t, sha256 aaaaaaaa." in table.legend[0]

    def test_the_teachers_own_row_is_in_both_tracks_tables(self) -> None:
        teacher = make_record({"pgd20": (0.8, 0.1, 0.5)}, kind="teacher", teacher="t")
        free, data = tables(teacher, FERD, RSLAD, TRADES, teachers=True)
        assert [row.label for row in free.rows] == ["Teacher (wrn-10-2)", "FERD"]
        assert [row.label for row in data.rows] == ["Teacher (wrn-10-2)", "TRADES", "RSLAD"]


def test_a_data_free_csv_has_the_columns_it_had_and_one_with_data_one_more() -> None:
    def header(*records: Record) -> list[str]:
        return next(csv.reader(io.StringIO(render(tables(*records), "csv"))))

    assert [name for name in header(FERD, RSLAD) if name not in header(FERD)] == ["sees"]


def test_tables_of_latex_have_names_of_their_own() -> None:
    text = render(tables(RSLAD, FERD), "latex", Paper(wide=True))
    assert r"\label{tab:digits-t}" in text
    assert r"\label{tab:digits-t-with-data}" in text


def test_rows_trained_on_other_images_are_named() -> None:
    def on(digest: str, record: Record) -> Record:
        update = {"training_images": 9, "training_digest": digest * 64}
        return record.model_copy(update={"dataset": record.dataset.model_copy(update=update)})

    (same,) = tables(on("b", RSLAD), on("b", ARD))
    assert same.warnings == ()
    (table,) = tables(on("b", RSLAD), on("c", ARD))
    assert "do not share the same training images (digest)" in table.warnings[0]


def test_the_command_says_so(tmp_path: Path) -> None:
    for record in (FERD, RSLAD):
        write_record(tmp_path, record)
    apart, both = (tiny.command("table", tmp_path, "--tracks", how).out for how in ("apart", "both"))
    assert apart.count("distilled from t") == 2
    assert "Sees" not in apart
    assert both.count("distilled from t") == 1
    assert "Sees" in both
