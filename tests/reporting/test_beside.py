"""Our rows beside a paper's: which rows meet, what the difference is, and what is said about comparing them."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from table_records import make_record, write_record

from dfrd_bench import DfrdBenchError
from dfrd_bench.cli.table import FORMATS, table
from dfrd_bench.records.schema import Record
from dfrd_bench.reporting.tables.beside import beside, published_rows
from dfrd_bench.reporting.tables.build import build_tables
from dfrd_bench.reporting.tables.layout import Column, ResultTable, Row

PGD = Column("pgd20", "average")
NUMBERS: dict[str, Any] = {"pgd20": (0.5, 0.25, 0.3)}


def compared(name: str, *records: Record, teachers: bool = False) -> ResultTable:
    runs = [(f"run{number}", record) for number, record in enumerate(records)]
    (result,) = build_tables(runs, teachers=teachers)
    return beside(result, published_rows(name))


def cifar(**others: Any) -> Record:
    usual = {"dataset": "cifar10", "teacher": "wrn-34-10", "student": "resnet-18"}
    return make_record(NUMBERS, **{**usual, **others})


def labels(result: ResultTable) -> list[str]:
    return [row.label for row in result.rows]


def after(result: ResultTable, label: str) -> list[Row]:
    at = labels(result).index(label)
    return list(result.rows[at : at + 3])


def test_a_row_of_ours_is_followed_by_the_printed_one_and_the_difference() -> None:
    rows = after(compared("ferd:table1", cifar()), "FERD")
    assert [row.kind for row in rows] == ["student", "published", "difference"]
    assert [row.cells[PGD].text for row in rows] == ["50.00", "42.68", "+7.32"]
    assert [row.cells[Column("pgd20", "worst_class")].text for row in rows] == ["25.00", "23.50", "+1.50"]
    assert [row.cells[Column("pgd20", "nsd")].text for row in rows] == ["0.300", "0.298", "+0.002"]
    assert [row.cells[Column("clean", "average")].text for row in rows] == ["·", "79.26", "·"]


def test_rows_of_one_side_only_are_there_and_in_the_papers_order() -> None:
    result = compared("ferd:table1", cifar(method="mine"), cifar())
    printed = [f"{name} in ferd:table1" for name in ("ZSKT", "CMI", "DeepInv", "Fast", "DFHL")]
    assert labels(result) == [*printed, "FERD", "FERD in ferd:table1", "difference", "mine"]


def test_rows_meet_by_variant_however_it_is_spelled() -> None:
    variant = "quick+lambda_adv=5.0+lambda_bn=1.0+lambda_uni=1.0"
    rows = after(compared("ferd:table7", cifar(variant=variant)), f"FERD ({variant})")
    assert rows[1].cells[PGD].text == "44.67"
    assert rows[2].cells[PGD].text == "+5.33"
    rows = after(compared("ferd:table3", cifar(variant="utae=false")), "FERD (utae=false)")
    assert rows[1].cells[PGD].text == "41.96"


def test_unconverted_rows_meet_unconverted_rows() -> None:
    result = compared("ferd:table8", cifar(method="zskt", variant="conversion=false"), cifar(method="zskt"))
    assert [row.cells[PGD].text for row in after(result, "ZSKT")] == ["50.00", "29.50", "+20.50"]
    assert [row.cells[PGD].text for row in after(result, "ZSKT+RSLAD")] == ["50.00", "29.35", "+20.65"]
    assert sum("+RSLAD: converted" in line for line in result.legend) == 1


def test_a_teacher_meets_the_printed_teacher() -> None:
    result = compared("ferd:table4", cifar(kind="teacher"), cifar(), teachers=True)
    rows = after(result, "Teacher (wrn-10-2)")
    assert [row.label for row in rows[1:]] == ["Teacher (wrn-34-10) in ferd:table4", "difference"]
    assert rows[2].cells[PGD].text == "-12.97"


def test_each_student_of_the_paper_has_a_group_unless_one_is_ours() -> None:
    assert [group.student for group in compared("ferd:table1", cifar()).groups] == ["resnet-18"]
    others = compared("ferd:table1", cifar(student="wrn-10-1"))
    assert [group.student for group in others.groups] == ["wrn-10-1 beside resnet-18", "wrn-10-1 beside mobilenet-v2"]


def test_nothing_is_marked_as_best() -> None:
    result = compared("ferd:table1", cifar(), cifar(method="zskt"))
    assert {cell.mark for row in result.rows for cell in row.cells.values()} == {None}


def test_other_data_cannot_be_overlooked() -> None:
    result = compared("ferd:table1", make_record(NUMBERS))
    assert "NOT COMPARABLE: other dataset, teacher and student" in result.title
    assert result.warnings[0].startswith("Not comparable with ferd:table1: dataset, teacher and student differ.")
    assert "dataset: digits here, cifar10 there" in result.warnings[0]


def test_only_what_differs_is_named_and_equal_names_prove_nothing() -> None:
    result = compared("ferd:table1", cifar(teacher="my-teacher"))
    assert result.title.endswith("NOT COMPARABLE: other teacher")
    same = compared("ferd:table1", cifar())
    assert same.title.endswith("beside ferd:table1")
    assert same.warnings == ()
    assert any("known by name only" in line for line in same.legend)
    assert any(line.startswith("Version of ferd:table1: FERD as it was under review") for line in same.legend)


def test_metrics_that_only_the_paper_has_are_columns_and_explained() -> None:
    result = compared("ferd:table2", make_record(NUMBERS))
    assert {column.metric for column in result.columns} == {"average", "worst_class", "worst_10", "nsd"}
    assert any("worst tenth" in line for line in result.legend)


def test_a_table_of_shares_is_refused() -> None:
    with pytest.raises(DfrdBenchError, match="fair-ard:table1 prints neither accuracies nor NSD"):
        published_rows("fair-ard:table1")


class TestCommand:
    @pytest.fixture
    def results(self, tmp_path: Path) -> Path:
        write_record(tmp_path / "results", make_record(NUMBERS))
        write_record(tmp_path / "results", make_record(NUMBERS, seed=1))
        return tmp_path / "results"

    def invoke(self, *arguments: object) -> Result:
        return CliRunner().invoke(table, [str(argument) for argument in arguments])

    @pytest.mark.parametrize("style", FORMATS)
    def test_every_format_has_both_and_says_so(self, results: Path, style: str) -> None:
        outcome = self.invoke(results, "--published", "ferd:table1", "--format", style)
        assert outcome.exit_code == 0
        assert ("0.4268" if style == "csv" else "42.68") in outcome.stdout
        if style == "csv":
            assert "Not comparable with ferd:table1" in outcome.stderr
        else:
            assert "NOT COMPARABLE: other dataset, teacher and student" in outcome.stdout

    @pytest.mark.parametrize("style", FORMATS)
    def test_every_format_says_which_version_prints_the_numbers(self, results: Path, style: str) -> None:
        ferd = self.invoke(results, "--published", "ferd:table1", "--format", style).stdout
        assert "FERD as it was under review at ICLR 2026 (OpenReview, anonymous); " in ferd
        assert "arXiv v2 and the conference version print other numbers" in ferd
        fair = self.invoke(results, "--published", "fair-ard:table2", "--format", style).stdout
        assert "Fair-ARD, the main text of the paper at NeurIPS 2023" in fair
        assert "ICLR 2026" not in fair

    def test_csv_names_the_version_in_rows_with_printed_numbers_only(self, results: Path) -> None:
        outcome = self.invoke(results, "--published", "ferd:table1", "--format", "csv")
        named = {row["kind"]: row["source"].partition(" ")[0] for row in csv.DictReader(io.StringIO(outcome.stdout))}
        assert named == {"student": "", "published": "FERD", "difference": "FERD"}
        assert "source" not in self.invoke(results, "--format", "csv").stdout.splitlines()[0]

    def test_csv_says_whose_each_row_is(self, results: Path) -> None:
        outcome = self.invoke(results, "--published", "ferd:table1", "--format", "csv")
        rows = [row for row in csv.DictReader(io.StringIO(outcome.stdout)) if row["method"] == "ferd"][:3]
        assert [(row["kind"], row["dataset"], row["student"], row["seeds"]) for row in rows] == [
            ("student", "digits", "wrn-10-1", "2"),
            ("published", "cifar10", "resnet-18", "0"),
            ("difference", "digits - cifar10", "wrn-10-1 - resnet-18", "0"),
        ]
        assert float(rows[2]["pgd20_average"]) == pytest.approx(0.5 - 0.4268)

    def test_attacks_limit_both_sides(self, results: Path) -> None:
        shown = self.invoke(results, "--published", "ferd:table1", "--attacks", "pgd20").stdout
        assert "42.68" in shown
        assert "79.26" not in shown

    def test_a_wrong_name_is_refused_before_anything_is_read(self, tmp_path: Path) -> None:
        error = self.invoke(tmp_path / "nowhere", "--published", "ferd:tabel1").exception
        assert isinstance(error, DfrdBenchError)
        assert re.search(r"Did you mean 'ferd:table1'", str(error))

    def test_without_the_option_nothing_is_added(self, results: Path) -> None:
        assert "ferd:" not in self.invoke(results).stdout
