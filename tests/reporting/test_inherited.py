"""What a student inherits of its teacher's robustness, class by class, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
from table_records import make_record, write_record

from dfrd_bench.records.schema import Record


def fares(record: Record, classes: list[float]) -> Record:
    """The record, with these shares of three classes of 100 left under PGD-20."""
    attack = record.evaluation.attacks["pgd20"].model_copy(
        update={
            "per_class": classes,
            "confusion": [
                [round(100 * share) if k == j else (100 - round(100 * share)) * (j == (k + 1) % 3) for j in range(3)]
                for k, share in enumerate(classes)
            ],
            "average": sum(classes) / 3,
        }
    )
    evaluation = record.evaluation.model_copy(update={"attacks": {**record.evaluation.attacks, "pgd20": attack}})
    return record.model_copy(update={"evaluation": evaluation})


def rows(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_a_share_is_that_of_the_means_over_seeds_and_nothing_of_a_class_that_the_teacher_lost() -> None:
    from dfrd_bench.reporting.tables.build import build_tables
    from dfrd_bench.reporting.tables.inherited import render_inherited

    pgd = {"pgd20": (0.5, 0.2, 0.3)}
    runs = [
        ("t", fares(make_record(pgd, kind="teacher", classes=3), [0.8, 0.5, 0.0])),
        ("a", fares(make_record(pgd, classes=3), [0.4, 0.5, 0.1])),
        ("b", fares(make_record(pgd, classes=3, seed=1), [0.2, 0.3, 0.1])),
        ("c", fares(make_record(pgd, classes=3, method="zskt"), [0.88, 0.0, 0.0])),
    ]
    heading, _, zskt, ferd = rows(render_inherited(build_tables(runs, teachers=True), "markdown"))
    assert heading[0] == "Method"
    assert heading[-2:] == ["Least", "Average"]
    assert ferd == ["FERD", "38", "80", "–", "38", "62"]  # 0.3 / 0.8, 0.4 / 0.5; 0.8 / 3 of 1.3 / 3
    assert zskt == ["ZSKT", "110", "0", "–", "0", "68"]


def test_without_a_teacher_under_an_attack_and_with_other_choices_it_is_refused(tmp_path: Path) -> None:
    write_record(tmp_path, make_record({"clean": (0.9, 0.8, 0.1), "pgd20": (0.5, 0.2, 0.3)}))
    for more, said in (
        ([], "No teacher here has a record under an attack"),
        (["--brief"], "--inherited has columns of its own"),
        (["--format", "csv"], "--inherited is for --format terminal or markdown"),
        (["--format", "index"], "leave --inherited out"),
    ):
        outcome = tiny.command("table", tmp_path, "--inherited", *more)
        assert (outcome.code, outcome.out) == (2, "")
        assert said in outcome.err


@pytest.mark.parametrize("style", ["terminal", "markdown"])
def test_too_many_classes_for_columns_are_refused_in_a_line(tmp_path: Path, style: str) -> None:
    for kind in ("teacher", "student"):
        write_record(tmp_path, make_record({"pgd20": (0.5, 0.2, 0.3)}, kind=kind, classes=100))
    outcome = tiny.command("table", tmp_path, "--inherited", "--format", style)
    assert (outcome.code, outcome.err) == (
        2,
        "Error: --inherited has a column for each class, and shows at most 20, not 100.\n",
    )
