"""The brief table: five numbers a method, for somebody who sees one for the first time."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from table_records import make_record, write_record

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.schema import Record, TrainingRecord
from dfrd_bench.reporting.tables.brief import render_brief
from dfrd_bench.reporting.tables.build import build_tables


def trained(record: Record, seconds: float) -> Record:
    training = TrainingRecord(epochs=1, seconds=seconds, peak_memory_bytes=1, last={})
    return record.model_copy(update={"training": training})


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def made(**numbers: tuple[float, float, float | None]) -> dict[str, tuple[float, float, float | None]]:
    return numbers


def test_cells_are_means_over_seeds_and_minutes_with_the_best_in_bold() -> None:
    runs = [
        ("a", trained(make_record(made(clean=(0.9, 0.8, 0.1), autoattack=(0.5, 0.2, 0.3))), 120)),
        ("b", trained(make_record(made(clean=(0.7, 0.8, 0.1), autoattack=(0.6, 0.4, 0.5)), seed=1), 240)),
        ("c", trained(make_record(made(clean=(0.6, 0.5, 0.2), autoattack=(0.1, 0.0, None)), method="cmi"), 30)),
        ("t", make_record(made(clean=(1.0, 0.9, 0.0), autoattack=(0.8, 0.7, 0.1)), kind="teacher")),
    ]
    heading, _, teacher, cmi, ferd = rows(render_brief(build_tables(runs, teachers=True), "markdown"))
    assert heading == ["Method", "Clean (%) ↑", "AutoAttack (%) ↑", "Worst class (%) ↑", "NSD ↓", "Minutes"]
    assert teacher == ["Teacher (wrn-10-2)", "100.0", "80.0", "70.0", "0.100", ""]
    assert ferd == ["FERD", "**80.0**", "**55.0**", "**30.0**", "0.400", "3"]
    assert cmi == ["CMI", "60.0", "10.0", "0.0", "–", "0.5"]


def test_without_autoattack_the_strongest_that_was_run_stands_there() -> None:
    text = render_brief(
        build_tables([("a", make_record(made(clean=(0.9, 0.8, 0.1), pgd20=(0.5, 0.2, 0.3))))]), "terminal"
    )
    assert "PGD-20 (%) ↑" in text
    with pytest.raises(DfrdBenchError, match="No run here was attacked by more than a clean test"):
        render_brief(build_tables([("a", make_record(made(clean=(0.9, 0.8, 0.1))))]), "terminal")


def test_a_table_under_no_attack_is_left_out_beside_others_and_said() -> None:
    clean = make_record(made(clean=(0.9, 0.8, 0.1)), kind="teacher", teacher="other")
    attacked = make_record(made(clean=(0.9, 0.8, 0.1), pgd20=(0.5, 0.2, 0.3)))
    text = render_brief(build_tables([("a", attacked), ("b", clean)], teachers=True), "markdown")
    assert [row[0] for row in rows(text)][2:] == ["FERD"]
    assert text.endswith("Left out, as under no attack: digits, other.\n")


def test_it_is_refused_with_columns_of_other_choices_and_in_other_formats(tmp_path: Path) -> None:
    write_record(tmp_path, make_record(made(clean=(0.9, 0.8, 0.1), pgd20=(0.5, 0.2, 0.3))))
    assert "| FERD" in tiny.command("table", tmp_path, "--brief", "--format", "markdown").out
    for more in (["--format", "csv"], ["--ci"], ["--columns", "clean_average"]):
        outcome = tiny.command("table", tmp_path, "--brief", *more)
        assert (outcome.code, outcome.err.count("\n"), outcome.out) == (2, 1, "")


def test_a_teacher_that_is_asked_for_and_has_no_record_is_not_left_out_in_silence(tmp_path: Path) -> None:
    write_record(tmp_path, make_record(made(clean=(0.9, 0.8, 0.1), pgd20=(0.5, 0.2, 0.3))))
    note = "Note. No record of teacher wrn-teacher: `dfrd-bench evaluate --teacher wrn-teacher"
    for style in ("terminal", "markdown"):
        out = tiny.command("table", tmp_path, "--brief", "--teacher", "--format", style).out
        assert note.replace("`", r"\`" if style == "markdown" else "`") in out
    assert "Note." not in tiny.command("table", tmp_path, "--brief").out


def test_a_column_that_reads_the_same_in_every_row_has_no_best() -> None:
    runs = [
        ("a", make_record(made(clean=(0.9, 0.8, 0.1), autoattack=(0.5, 0.0, 0.3)))),
        ("b", make_record(made(clean=(0.8, 0.8, 0.1), autoattack=(0.4, 0.0003, 0.3)), method="cmi")),
        ("t", make_record(made(clean=(1.0, 0.9, 0.0), autoattack=(0.8, 0.7, 0.1)), kind="teacher")),
    ]
    _, _, _, cmi, ferd = rows(render_brief(build_tables(runs, teachers=True), "markdown"))
    assert cmi[1:5] == ["80.0", "40.0", "0.0", "0.300"]
    assert ferd[1:5] == ["**90.0**", "**50.0**", "0.0", "0.300"]
