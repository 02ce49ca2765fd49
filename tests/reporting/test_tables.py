"""Rows, columns, means, marks and warnings of the papers' table."""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterable
from typing import Any

import pytest
from table_records import make_record

from dfrd_bench import DfrdBenchError
from dfrd_bench.records.schema import Record
from dfrd_bench.reporting.tables.build import build_tables
from dfrd_bench.reporting.tables.comparability import level
from dfrd_bench.reporting.tables.layout import Cell, Column, ResultTable, display_name

PGD = {metric: Column("pgd20", metric) for metric in ("average", "worst_class", "worst_10", "nsd")}

# FERD, table 1, ResNet-18; _second best_, as printed there. FERD is bold throughout.
PAPER = """
zskt 65.48 32.20 0.266 29.80 5.00 0.563 29.35 4.50 0.591 15.84 1.80 0.714 17.16 2.20 0.740
cmi 68.29 51.20 0.161 33.34 19.50 0.337 28.97 16.00 0.392 21.74 11.00 0.453 26.85 14.60 0.419
deepinv 71.22 _58.90_ _0.124_ 38.60 22.50 0.303 27.83 14.30 0.381 27.92 13.80 _0.406_ 25.19 11.60 0.422
fast 72.20 57.80 0.132 _43.96_ _26.90_ _0.295_ _39.60_ _22.40_ _0.328_ 28.03 _14.00_ 0.434 33.24 17.70 0.401
dfhl _74.42_ 58.60 0.129 41.67 24.30 0.298 36.91 19.30 0.344 29.45 13.40 0.408 _36.39_ _18.50_ _0.351_
ferd 79.26 65.90 0.105 51.09 31.30 0.237 42.68 23.50 0.298 36.17 19.00 0.338 40.12 20.80 0.325
"""
ATTACKS = ("clean", "fgsm", "pgd20", "cw", "autoattack")


def tables_of(*records: Record, **options: object) -> list[ResultTable]:
    return build_tables([(f"run{i}", record) for i, record in enumerate(records)], **options)  # type: ignore[arg-type]


def only(*records: Record, **options: object) -> ResultTable:
    (table,) = tables_of(*records, **options)
    return table


def by_label(table: ResultTable, column: Column) -> dict[str, Cell]:
    return {row.label: row.cells[column] for row in table.rows}


def pgd(average: float, worst: float = 0.1, nsd: float | None = 0.5) -> dict[str, tuple[float, float, float | None]]:
    return {"pgd20": (average, worst, nsd)}


def test_the_papers_table_gets_the_papers_marks() -> None:
    records, printed, underlined = [], {}, set()
    for line in PAPER.strip().splitlines():
        method, *cells = line.split()
        values = [float(cell.strip("_")) for cell in cells]
        attacks = {
            name: (values[3 * i] / 100, values[3 * i + 1] / 100, values[3 * i + 2]) for i, name in enumerate(ATTACKS)
        }
        records.append(make_record(attacks, method=method))
        printed[display_name(method)] = [cell.strip("_") for cell in cells]
        underlined |= {(display_name(method), i) for i, cell in enumerate(cells) if cell.startswith("_")}
    table = only(*random.Random(0).sample(records, len(records)))
    rows = {row.label: [row.cells[column] for column in table.columns] for row in table.rows}

    assert {name: [cell.text for cell in cells] for name, cells in rows.items()} == printed
    assert list(rows) == ["ZSKT", "CMI", "DeepInv", "Fast", "DFHL", "FERD"]
    assert {name for name, cells in rows.items() for cell in cells if cell.mark == "best"} == {"FERD"}
    ours = {(name, i) for name, cells in rows.items() for i, cell in enumerate(cells) if cell.mark == "second"}
    assert ours - underlined == {("DFHL", 9)}  # the paper forgot its second-best CW∞ average, 29.45
    assert not underlined - ours


@pytest.mark.parametrize("seed", range(20))
def test_marks_agree_with_brute_force_over_the_printed_values(seed: int) -> None:
    draw = random.Random(seed)
    records = [
        make_record(
            pgd(draw.randrange(4) / 10, draw.randrange(3) / 10, draw.choice([None, 0.1, 0.2, 0.2004])), method=f"m{i}"
        )
        for i in range(draw.randint(2, 6))
    ]
    table = only(*records)
    for column in table.columns:
        cells = [row.cells[column] for row in table.rows]
        values = [float(cell.text) for cell in cells if cell.text != "–"]
        sign = -1 if column.metric == "nsd" else 1
        for cell in cells:
            if cell.text == "–" or len(set(values)) < 2:  # where all are the same none is best
                assert cell.mark is None
                continue
            better = {value for value in values if sign * value > sign * float(cell.text)}
            assert cell.mark == {0: "best", 1: "second"}.get(len(better))


def test_equal_printed_values_share_the_mark_though_the_numbers_differ() -> None:
    table = only(
        make_record(pgd(0.50001), method="a"), make_record(pgd(0.50004), method="b"), make_record(pgd(0.4), method="c")
    )
    marks = {label: cell.mark for label, cell in by_label(table, PGD["average"]).items()}
    assert marks == {"a": "best", "b": "best", "c": "second"}


def test_lower_nsd_is_better_and_an_undefined_one_does_not_compete() -> None:
    table = only(
        make_record(pgd(0.5, 0.1, 0.3), method="a"),
        make_record(pgd(0.5, 0.1, 0.2), method="b"),
        make_record(pgd(0.0, 0.0, None), method="c"),
    )
    cells = by_label(table, PGD["nsd"])
    assert {label: (cell.text, cell.mark) for label, cell in cells.items()} == {
        "a": ("0.300", "second"),
        "b": ("0.200", "best"),
        "c": ("–", None),
    }
    assert any(line.startswith("– undefined") for line in table.legend)


def test_a_value_without_rival_is_not_marked() -> None:
    assert {cell.mark for row in only(make_record(pgd(0.5))).rows for cell in row.cells.values()} == {None}


def test_students_do_not_compete_with_each_other() -> None:
    records = [
        make_record(pgd(value), method=method, student=student)
        for value, method, student in [(0.1, "a", "s"), (0.2, "b", "s"), (0.8, "a", "t"), (0.9, "b", "t")]
    ]
    table = only(*records)
    assert [group.student for group in table.groups] == ["s", "t"]
    assert [row.cells[PGD["average"]].mark for row in table.rows] == ["second", "best", "second", "best"]


def test_a_teacher_leads_each_group_and_never_wins() -> None:
    records = [
        make_record(pgd(0.99, 0.99, 0.0), kind="teacher"),
        *(make_record(pgd(0.1 * i), method=f"m{i}", student=s) for i in (1, 2, 3) for s in "st"),
    ]
    table = only(*records, teachers=True)
    assert [row.label for row in table.rows] == 2 * ["Teacher (wrn-10-2)", "m1", "m2", "m3"]
    assert [row.cells[PGD["average"]].mark for row in table.rows] == 2 * [None, None, "second", "best"]
    assert all(row.kind == "student" for row in only(*records).rows)


def test_a_wanted_but_missing_teacher_is_named_with_the_command_that_makes_it() -> None:
    table = only(make_record(pgd(0.5)), teachers=True)
    assert any("dfrd-bench evaluate --teacher wrn-teacher --dataset digits" in note for note in table.notes)
    assert not only(make_record(pgd(0.5))).notes


def test_seeds_become_mean_and_sample_standard_deviation() -> None:
    values = [0.5, 0.53, 0.58]
    table = only(*(make_record(pgd(value, value / 2, value / 4), seed=seed) for seed, value in enumerate(values)))
    (row,) = table.rows
    assert row.seeds == (0, 1, 2)
    for metric, scale in (("average", 1.0), ("worst_class", 0.5), ("nsd", 0.25)):
        cell = row.cells[PGD[metric]]
        assert cell.mean == pytest.approx(scale * statistics.mean(values))
        assert cell.std == pytest.approx(scale * statistics.stdev(values))
    average, nsd = row.cells[PGD["average"]], row.cells[PGD["nsd"]]
    assert (average.text, average.spread) == ("53.67", "4.04")  # sqrt((3.667² + 0.667² + 4.333²) / 2) = 4.041
    assert (nsd.text, nsd.spread) == ("0.134", "0.010")
    assert "Mean ± sample standard deviation over seeds (ddof = 1)." in table.legend


def test_a_mean_over_seeds_is_undefined_if_one_seed_is() -> None:
    table = only(make_record(pgd(0.5)), make_record(pgd(0.0, 0.0, None), seed=1))
    assert table.rows[0].cells[PGD["nsd"]].text == "–"
    assert table.rows[0].cells[PGD["average"]].text == "25.00"


@pytest.mark.parametrize(
    ("classes", "metric", "title"), [(99, "worst_class", "Worst ↑"), (100, "worst_10", "Worst-10% ↑")]
)
def test_from_100_classes_on_worst_means_the_worst_tenth(classes: int, metric: str, title: str) -> None:
    table = only(make_record(pgd(0.5, 0.2), classes=classes))
    column = table.columns[1]
    assert (column.metric, column.title) == (metric, title)
    assert table.rows[0].cells[column].text == {"worst_class": "20.00", "worst_10": "21.00"}[metric]


def test_attacks_come_in_the_papers_order_then_by_name_and_only_if_run() -> None:
    table = only(
        make_record(dict.fromkeys(("zoo", "cw_l2", "autoattack", "clean"), (0.5, 0.1, 0.1)), method="a"),
        make_record(dict.fromkeys(("cw", "pgd20"), (0.5, 0.1, 0.1)), method="b"),
    )
    assert table.attacks == ("clean", "pgd20", "cw", "autoattack", "cw_l2", "zoo")
    assert by_label(table, PGD["average"])["a"].text == "·"
    assert "· not run." in table.legend


def test_chosen_attacks_keep_the_order_and_unknown_ones_are_refused() -> None:
    record = make_record(dict.fromkeys(ATTACKS, (0.5, 0.1, 0.1)))
    assert only(record, attacks=["pgd20", "clean"]).attacks == ("clean", "pgd20")
    with pytest.raises(DfrdBenchError, match="Did you mean 'pgd20'"):
        tables_of(record, attacks=["pgd-20"])
    with pytest.raises(DfrdBenchError, match="at least one"):
        tables_of(record, attacks=[])


def test_datasets_and_teachers_get_tables_of_their_own() -> None:
    pairs = [("b", "t"), ("a", "u"), ("a", "t"), ("b", "t")]
    tables = tables_of(*(make_record(pgd(0.5), dataset=d, teacher=t, seed=i) for i, (d, t) in enumerate(pairs)))
    assert [(table.dataset, table.teacher, len(table.rows)) for table in tables] == [
        ("a", "t", 1),
        ("a", "u", 1),
        ("b", "t", 1),
    ]


def test_a_method_stands_before_its_conversion_under_the_names_of_the_papers_table_8() -> None:
    table8 = [make_record(pgd(0.3), method=m, variant="conversion=false", config={"a": 1}) for m in ("zskt", "cmi")]
    table8 += [make_record(pgd(0.4), method=m) for m in ("cmi", "zskt", "ferd")]
    table = only(*table8)
    assert [row.label for row in table.rows] == ["ZSKT", "ZSKT+RSLAD", "CMI", "CMI+RSLAD", "FERD"]
    assert "+RSLAD: converted" in " ".join(table.legend)


def test_a_method_is_never_called_by_its_bare_name_where_a_reader_would_take_it_for_converted() -> None:
    assert [row.label for row in only(make_record(pgd(0.3), method="zskt")).rows] == ["ZSKT"]
    alone = only(make_record(pgd(0.3), method="zskt", variant="quick+conversion=false"))
    assert [row.label for row in alone.rows] == ["ZSKT (quick+un-converted)"]


def test_a_variant_that_all_students_share_is_said_once() -> None:
    records = [make_record(pgd(0.5), method=m, variant="quick+epochs=3", config={"v": 1}) for m in ("zskt", "ferd")]
    teacher = make_record(pgd(0.6), kind="teacher")
    table = only(*records, teacher, teachers=True)
    assert [row.label for row in table.rows] == ["Teacher (wrn-10-2)", "ZSKT", "FERD"]
    assert "All students: quick+epochs=3." in table.notes
    other = make_record(pgd(0.5), method="cmi", variant="quick", config={"v": 2})
    assert [row.label for row in only(*records, other).rows] == [
        "ZSKT (quick+epochs=3)",
        "CMI (quick)",
        "FERD (quick+epochs=3)",
    ]


def test_default_comes_first_and_variants_are_named() -> None:
    records = [make_record(pgd(0.5), variant=v, config={"v": v}) for v in ("utae=false", "default", "fae=false")]
    assert [row.label for row in only(*records).rows] == ["FERD", "FERD (fae=false)", "FERD (utae=false)"]


def test_different_hyperparameters_are_never_averaged() -> None:
    records = [make_record(pgd(e / 1000), seed=s, config={"epochs": e, "lr": 0.1}) for e in (30, 220) for s in (0, 1)]
    table = only(*records)
    assert {row.label: row.seeds for row in table.rows} == {"FERD (epochs=220)": (0, 1), "FERD (epochs=30)": (0, 1)}
    many = only(*(make_record(pgd(0.5), config=dict.fromkeys("abc", value)) for value in (1, 2)))
    alike = only(*(make_record(pgd(0.5), config={"a": 40 * "x" + end}) for end in "yz"))
    for labels in ([row.label for row in many.rows], [row.label for row in alike.rows]):
        assert len(set(labels)) == 2
        assert all(label.startswith("FERD (settings ") for label in labels)


def made_by(version: str, **record: Any) -> Record:
    """A record of another version of the harness."""
    made = make_record(pgd(0.5), **record)
    return made.model_copy(update={"spec": made.spec.model_copy(update={"provider": f"dfrd-bench {version}"})})


def test_runs_of_two_versions_are_told_apart_by_the_version_however_much_their_settings_differ() -> None:
    older, newer = made_by("0.1.0", config={"a": 1}), made_by("9.0", config={"a": 2, "b": 3, "c": 4})
    assert {row.label for row in only(older, newer).rows} == {"FERD (dfrd-bench 0.1.0)", "FERD (dfrd-bench 9.0)"}


def test_runs_made_before_their_method_was_corrected_are_named() -> None:
    table = only(made_by("0.1.0"), made_by("9.0", method="fast"))
    (warning,) = table.warnings
    assert warning.startswith("Superseded, made before the methods were corrected")
    assert warning.endswith(": FERD on wrn-10-1.")
    assert only(made_by("9.0")).warnings == ()


def test_a_run_found_twice_counts_once() -> None:
    table = only(make_record(pgd(0.5)), make_record(pgd(0.5)))
    assert (table.rows[0].seeds, table.notes) == ((0,), ())
    table = only(make_record(pgd(0.5)), make_record(pgd(0.6)))
    assert table.rows[0].cells[PGD["average"]].text == "50.00"
    assert table.notes == ("Two records of one run differ; run0 is shown, run1 is not.",)


def test_an_attack_run_for_some_seeds_only_is_noted() -> None:
    both = {**pgd(0.5), "clean": (0.9, 0.8, 0.1)}
    table = only(make_record(both), make_record(pgd(0.6), seed=1))
    assert table.notes == ("FERD on wrn-10-1: Clean was run for 1 of 2 seeds only.",)


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        ({"sha256": "b" * 64}, "teacher weights (sha256). CMI on wrn-10-1: bbbbbbbb; the others: aaaaaaaa."),
        ({"digest": "c" * 64}, "test images (digest). CMI on wrn-10-1: cccccccc; the others: dddddddd."),
        (
            {"eps": 8 / 255},
            "threat model. CMI on wrn-10-1: L∞, ε = 8/255, step 2/255; the others: L∞, ε = 0.2, step 0.05.",
        ),
        ({"parameters": {"steps": 10}}, "settings of PGD-20. CMI on wrn-10-1: steps=10; the others: none."),
    ],
)
def test_rows_that_must_not_be_compared_are_named(difference: dict[str, object], said: str) -> None:
    records = [make_record(pgd(0.5), method=method) for method in ("ferd", "zskt", "fast")]
    assert only(*records).warnings == ()
    table = only(*records, make_record(pgd(0.5), method="cmi", **difference))  # type: ignore[arg-type]
    assert table.warnings == (f"Not comparable: the rows do not share the same {said}",)


def test_a_teacher_row_with_other_weights_is_named() -> None:
    table = only(
        make_record(pgd(0.5)),
        make_record(pgd(0.4), method="zskt"),
        make_record(pgd(0.9), kind="teacher", sha256="b" * 64),
        teachers=True,
    )
    assert any("Teacher (wrn-10-2): bbbbbbbb" in warning for warning in table.warnings)


def test_warnings_inside_records_are_pointed_at() -> None:
    table = only(make_record(pgd(0.5), warnings=("autoattack: zero gradients",)), make_record(pgd(0.5), method="zskt"))
    assert table.warnings == (
        "Runs of these rows carry warnings of their own, which dfrd-bench show RUN prints: FERD on wrn-10-1.",
    )


def taking(record: Record, columns: list[float], sizes: list[int]) -> Record:
    """The record, with a share `columns` of the clean images of every class taken for each class; classes of these sizes."""
    confusion = [[round(share * size) for share in columns] for size in sizes]
    clean = record.evaluation.attacks["clean"].model_copy(update={"confusion": confusion})
    evaluation = record.evaluation.model_copy(update={"attacks": {"clean": clean}})
    return record.model_copy(update={"evaluation": evaluation})


def test_a_row_that_takes_nearly_all_images_for_one_class_is_named() -> None:
    said = "take nearly every clean image for one class; what such a network keeps under attack is that class's share"
    even = [100] * 10
    for columns, sizes, named in (
        ([0.0] * 8 + [0.95, 0.05], even, True),
        ([0.0] * 8 + [0.85, 0.15], even, False),
        ([0.0] * 8 + [0.95, 0.05], [10] * 8 + [900, 10], False),  # nearly all images are of that class
    ):
        records = [
            taking(make_record({"clean": (0.1, 0.0, 3.0)}, method=method), columns, sizes) for method in ("ferd", "cmi")
        ]
        warnings = " ".join(only(*records).warnings)
        assert (
            said in warnings,
            "FERD on wrn-10-1, CMI on wrn-10-1" in warnings or "CMI on wrn-10-1, FERD" in warnings,
        ) == (named, named)


def test_the_legend_says_on_what_against_what_and_from_whom() -> None:
    text = " ".join(only(make_record(pgd(0.5))).legend)
    said: Iterable[str] = ("10 classes, 900 test images", "ε = 0.2, step 0.05", "Teacher wrn-teacher, sha256 aaaaaaaa.")
    assert all(part in text for part in said)


@pytest.mark.parametrize(
    ("value", "text"), [(8 / 255, "8/255"), (2 / 255, "2/255"), (0.2, "0.2"), (0.05, "0.05"), (0.0312, "0.0312")]
)
def test_perturbation_sizes_read_as_people_write_them(value: float, text: str) -> None:
    assert level(value) == text


@pytest.mark.parametrize(
    ("name", "shown"), [("ferd", "FERD"), ("deepinv", "DeepInv"), ("fast", "Fast"), ("edgy", "edgy")]
)
def test_methods_are_called_as_in_the_papers(name: str, shown: str) -> None:
    assert display_name(name) == shown


class TestWhatOnlyTheTeacherRan:
    TEACHER = make_record({"pgd20": (0.8, 0.5, 0.1), "pgd20x5": (0.7, 0.4, 0.2)}, kind="teacher")

    def test_is_no_column_and_a_note_says_how_to_see_it(self) -> None:
        table = only(make_record(pgd(0.5)), self.TEACHER, teachers=True)
        assert table.attacks == ("pgd20",)
        assert "Only the teacher was attacked with pgd20x5, which is left out (--attacks shows it)." in table.notes
        assert "·" not in {cell.text for row in table.rows for cell in row.cells.values()}

    def test_is_one_where_it_is_named(self) -> None:
        table = only(make_record(pgd(0.5)), self.TEACHER, teachers=True, attacks=["pgd20", "pgd20x5"])
        assert table.attacks == ("pgd20", "pgd20x5")
        assert table.notes == ()

    def test_or_where_there_is_nobody_else(self) -> None:
        table = only(self.TEACHER, teachers=True)
        assert table.attacks == ("pgd20", "pgd20x5")

    def test_what_one_of_the_students_ran_stays(self) -> None:
        other = make_record({"fgsm": (0.6, 0.2, 0.3)}, method="zskt")
        assert only(make_record(pgd(0.5)), other, self.TEACHER, teachers=True).attacks == ("fgsm", "pgd20")
