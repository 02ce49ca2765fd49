"""`table --cost`: what a training cost, from records to every format."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
import tiny
from table_records import make_record, write_record

from dfrd_bench.records.schema import PassesRecord, Record, TrainingRecord
from dfrd_bench.reporting.paper import Paper
from dfrd_bench.reporting.tables.beside import beside, published_rows
from dfrd_bench.reporting.tables.build import build_tables
from dfrd_bench.reporting.tables.cost import costs_of, with_cost
from dfrd_bench.reporting.tables.layout import ResultTable
from dfrd_bench.reporting.tables.rendering import FORMATS, render

WIDE = Paper(wide=True)

PASSES = PassesRecord(
    teacher_forward=1200, teacher_backward=200, student_forward=9800, student_backward=9600, student_steps=80
)  # in batches of 10 and per step: 1.5, 0.25, 12.25, 12
GIB = 2**30
NUMBERS = ["1.50", "0.25", "12.25", "12.00", "90.5", "1.50"]


def trained(
    method: str = "ferd",
    seed: int = 0,
    *,
    passes: PassesRecord | None = PASSES,
    seconds: float = 90.5,
    batch_size: int | None = 10,
    device: str = "cpu (x86_64)",
) -> Record:
    config = {"epochs": 2} if batch_size is None else {"epochs": 2, "batch_size": batch_size}
    record = make_record({"pgd20": (0.5, 0.2, 0.3)}, method=method, seed=seed, config=config)
    training = TrainingRecord(epochs=2, seconds=seconds, peak_memory_bytes=3 * GIB // 2, last={}, passes=passes)
    environment = record.environment.model_copy(update={"device": device})
    return record.model_copy(update={"training": training, "environment": environment})


def shown(*records: Record, teachers: bool = False) -> ResultTable:
    (table,) = build_tables([("run", record) for record in records], teachers=teachers)
    return with_cost(table)


def rows_of(table: ResultTable) -> dict[str, list[str]]:
    (cost,) = table.below
    return {row.label: [row.cells[column].text for column in cost.columns] for row in cost.rows}


def test_passes_are_in_batches_per_student_step() -> None:
    assert rows_of(shown(trained())) == {"FERD": NUMBERS}


def test_several_seeds_are_shown_as_their_mean() -> None:
    more = PASSES.model_copy(update={"teacher_forward": 2000})  # 2.5 batches per step
    table = shown(trained(), trained(seed=1, passes=more, seconds=110.5))
    assert rows_of(table)["FERD"] == ["2.00", *NUMBERS[1:4], "100.5", "1.50"]
    assert "Means over seeds." in table.below[0].legend[1]


def test_what_records_do_not_say_is_a_dot_that_is_explained() -> None:
    unnamed = PASSES.model_copy(update={"student_steps": None})
    none = PASSES.model_copy(update={"student_steps": 0})
    unknown = ["·"] * 4
    for passes in (None, unnamed, none):
        table = shown(trained(), trained("zskt", passes=passes))
        assert rows_of(table) == {"ZSKT": [*unknown, *NUMBERS[4:]], "FERD": NUMBERS}
        assert table.below[0].legend[-1] == "· not recorded."
    assert rows_of(shown(make_record({"pgd20": (0.5, 0.2, 0.3)}))) == {"FERD": ["·"] * 6}
    assert "not recorded" not in " ".join(shown(trained()).below[0].legend)


def test_a_row_of_which_some_seeds_know_their_passes_says_so() -> None:
    table = shown(trained(), trained(seed=1, passes=None, seconds=110.5))
    assert rows_of(table)["FERD"] == [*NUMBERS[:4], "100.5", "1.50"]
    assert table.below[0].notes == ("FERD on wrn-10-1: passes are recorded for 1 of 2 seeds only.",)


def test_a_method_without_a_batch_size_is_counted_in_images_and_named() -> None:
    table = shown(trained("mine", batch_size=None), trained())
    assert rows_of(table)["mine"] == ["15.00", "2.50", "122.50", "120.00", *NUMBERS[4:]]
    assert table.below[0].legend[0].endswith("mine on wrn-10-1: no batch_size, so in images.")


def test_teachers_have_no_cost_here() -> None:
    teacher = make_record({"pgd20": (0.8, 0.7, 0.1)}, kind="teacher")
    table = shown(trained(), teacher, teachers=True)
    assert [row.kind for row in table.rows] == ["teacher", "student"]
    assert list(rows_of(table)) == ["FERD"]
    assert shown(teacher, teachers=True).below == ()


def test_rows_from_another_device_are_named_because_seconds_do_not_compare() -> None:
    table = shown(trained("zskt"), trained("fast"), trained(device="NVIDIA H100"))
    (warning,) = table.below[0].warnings
    assert warning.endswith("not on cpu (x86_64), 1 thread: FERD on wrn-10-1 on NVIDIA H100.")
    assert shown(trained("zskt"), trained()).below[0].warnings == ()


@pytest.mark.parametrize("style", [style for style in FORMATS if style != "csv"])
def test_the_cost_stands_below_the_papers_table_which_stays_as_it_was(style: str) -> None:
    tables = build_tables([("run", record) for record in (trained(), trained("zskt", passes=None))])
    usual, text = render(tables, style, WIDE), render([with_cost(table) for table in tables], style, WIDE)
    assert text.startswith(usual.rstrip("\n"))
    below = text[len(usual.rstrip("\n")) :]
    at = [below.index(part) for part in ("Cost of training", "Teacher passes", "Student passes", "Peak GiB", "12.25")]
    assert at == sorted(at)
    (ferd,) = (line for line in below.splitlines() if "FERD" in line)
    assert [ferd.count(number) for number in ("0.25", "12.25", "12.00", "90.5")] == [1] * 4


def test_latex_names_the_two_tables_apart() -> None:
    labels = [line.strip() for line in render([shown(trained())], "latex", WIDE).splitlines() if r"\label" in line]
    assert labels == [r"\label{tab:digits-wrn-teacher}", r"\label{tab:digits-wrn-teacher-cost}"]


def test_csv_has_the_cost_in_the_same_rows_at_full_precision() -> None:
    teacher = make_record({"pgd20": (0.8, 0.7, 0.1)}, kind="teacher")
    table = shown(trained(), trained(seed=1, seconds=110.5), teacher, teachers=True)
    frame = pd.read_csv(io.StringIO(render([table], "csv")))
    assert list(frame["method"]) == ["teacher", "ferd"]
    first, second = (row for _, row in frame.iterrows())
    assert second["pgd20_average"] == 0.5
    names = ["teacher_forward", "teacher_backward", "student_forward", "student_backward"]
    assert [second[f"{name}_per_step"] for name in names] == [1.5, 0.25, 12.25, 12]
    assert (second["training_seconds"], second["peak_memory_bytes"]) == (100.5, 1.5 * GIB)
    assert second["training_seconds_std"] == pytest.approx(200**0.5)  # of 90.5 and 110.5
    assert first.filter(regex="per_step|seconds|bytes").isna().all()


def test_beside_a_printed_table_only_ours_have_a_cost() -> None:
    (table,) = build_tables([("run", trained())])
    both = with_cost(beside(table, published_rows("ferd:table1", ["pgd20"])))
    assert "published" in {row.kind for row in both.rows}
    assert set(map(tuple, rows_of(both).values())) == {tuple(NUMBERS)}
    assert {row.kind for row in both.below[0].rows} == {"student"}


def test_costs_are_those_of_the_record() -> None:
    assert costs_of(make_record({})) == {}
    assert costs_of(trained(passes=None)) == {"training_seconds": 90.5, "peak_memory_bytes": 1.5 * GIB}


def test_the_command_shows_it_on_request(tmp_path: Path) -> None:
    write_record(tmp_path, trained())
    assert "Cost of training" not in tiny.command("table", tmp_path).out
    text = tiny.command("table", tmp_path, "--cost").out
    assert text.index("NSD ↓") < text.index("Cost of training on digits") < text.index("12.25")


def test_below_the_stages_of_an_attack_and_without_the_mark_on_rows_that_they_flatter() -> None:
    record = make_record({"pgd20": (0.5, 0.2, 0.3), "autoattack": (0.3, 0.1, 0.4)})
    attack = record.evaluation.attacks["autoattack"].model_copy(update={"stages": {"apgd-ce": 0.4, "square": 0.3}})
    attacks = {**record.evaluation.attacks, "autoattack": attack}
    record = record.model_copy(update={"evaluation": record.evaluation.model_copy(update={"attacks": attacks})})
    record = record.model_copy(update={"training": trained().training, "spec": trained().spec})
    (table,) = build_tables([("run", record)], stages=True)
    text = render([with_cost(table)], "markdown")
    assert text.count("Cost of training") == 1
    assert text.index("What the stages of AA leave") < text.index("Cost of training")
    assert "FERD‡" in text.split("Cost of training")[0]
    assert "‡" not in text.split("Cost of training")[1]
    header = render([with_cost(table)], "csv").splitlines()[0].split(",")
    assert header.index("autoattack_after_square") < header.index("teacher_forward_per_step")
