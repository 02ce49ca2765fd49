"""Ties and intervals in tables: what the test images can tell apart, and what happens without predictions."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from measured_runs import LABELS, measured, right_on
from rich.console import Console
from table_records import make_record, write_record

from dfrd_bench.records.schema import Record
from dfrd_bench.reporting.evidence import predictions_beside_records
from dfrd_bench.reporting.tables.build import build_tables
from dfrd_bench.reporting.tables.layout import Cell, Column, ResultTable
from dfrd_bench.reporting.tables.rendering import render
from dfrd_bench.reporting.tables.terminal import renderable

AVERAGE, WORST = Column("pgd20", "average"), Column("pgd20", "worst_class")
Run = tuple[str, Record]


def only(runs: list[Run], **options: Any) -> ResultTable:
    (table,) = build_tables(runs, **({"evidence": predictions_beside_records()} | options))
    return table


def cells(table: ResultTable, column: Column = AVERAGE) -> dict[str, Cell]:
    return {row.label: row.cells[column] for row in table.rows}


def marks(table: ResultTable, column: Column = AVERAGE) -> dict[str, str | None]:
    return {label: cell.mark for label, cell in cells(table, column).items()}


def run(results: Path, method: str, right: np.ndarray, **spec: Any) -> Run:
    return measured(results, {"pgd20": right}, method=method, **spec)


@pytest.fixture
def close(tmp_path: Path) -> list[Run]:
    """A 80.0, B 79.5 wrong on other images, C 78.7 likewise; D 60 wrong wherever A is; E 50."""
    return [
        run(tmp_path, "a", right_on(120)),
        run(tmp_path, "b", right_on(123, start=200)),
        run(tmp_path, "c", right_on(128, start=400)),
        run(tmp_path, "d", right_on(240)),
        run(tmp_path, "e", right_on(300)),
    ]


def test_csv_carries_marks_and_the_p_value_of_the_difference_from_the_best(close: list[Run]) -> None:
    """p against a bootstrap of our own, with other draws: A's and B's images that differ, class by class."""
    frame = pd.read_csv(io.StringIO(render([only(close)], "csv"))).set_index("method")
    assert frame["pgd20_average_mark"].fillna("").to_dict() == {
        "a": "tied",
        "b": "tied",
        "c": "tied",
        "d": "second",
        "e": "",
    }
    p = frame["pgd20_average_p"]
    assert np.isnan(p["a"])
    assert (p[["d", "e"]] < 0.01).all()
    rng, gain = np.random.default_rng(7), right_on(120).astype(float) - right_on(123, start=200)
    parts = [gain[label == LABELS] for label in np.unique(LABELS)]
    draws = np.mean([[rng.choice(part, len(part)).sum() for part in parts] for _ in range(2000)], axis=1)
    assert p["b"] == pytest.approx(min(1.0, 2 * min((draws <= 0).mean(), (draws >= 0).mean())), abs=0.06)


def test_all_that_the_images_cannot_tell_from_the_best_are_tied_not_only_the_runner_up(close: list[Run]) -> None:
    table = only(close)
    assert table.tested
    assert marks(table) == {"a": "tied", "b": "tied", "c": "tied", "d": "second", "e": None}
    assert table.notes == ()


def test_the_same_values_without_evidence_get_the_marks_of_their_printed_values(close: list[Run]) -> None:
    table = only(close, evidence=None)
    assert not table.tested
    assert marks(table) == {"a": "best", "b": "second", "c": None, "d": None, "e": None}


def test_a_best_value_that_differs_from_all_others_stands_alone(close: list[Run]) -> None:
    assert marks(only([close[0], *close[3:]])) == {"a": "best", "d": "second", "e": None}


def test_a_difference_of_the_same_size_is_no_tie_if_the_worse_row_is_wrong_wherever_the_better_is(
    tmp_path: Path,
) -> None:
    nested = [run(tmp_path, "a", right_on(120)), run(tmp_path, "b", right_on(128))]
    assert marks(only(nested)) == {"a": "best", "b": "second"}


def test_equal_values_are_tied_and_leave_the_rest_to_be_second(tmp_path: Path) -> None:
    runs = [run(tmp_path, m, right_on(n, start=s)) for m, n, s in (("a", 60, 0), ("b", 60, 300), ("c", 200, 0))]
    assert marks(only(runs)) == {"a": "tied", "b": "tied", "c": "second"}


@pytest.mark.parametrize("evidence", [True, False])
def test_where_all_rows_have_the_same_value_none_is_marked_as_best(tmp_path: Path, evidence: bool) -> None:
    runs = [run(tmp_path, m, (LABELS != 3) & right_on(n)) for m, n in (("a", 60), ("b", 120), ("c", 200))]
    table = only(runs) if evidence else only(runs, evidence=None)
    assert [*marks(table, WORST).values()] == [None, None, None]
    assert marks(table) == {"a": "best", "b": "second", "c": None}


def test_several_seeds_are_compared_by_their_means(tmp_path: Path) -> None:
    runs = [run(tmp_path, "a", right_on(n), seed=s) for s, n in enumerate((100, 110))]
    runs += [run(tmp_path, "b", right_on(n, start=300), seed=s) for s, n in enumerate((105, 108))]
    runs += [run(tmp_path, "c", right_on(n), seed=s) for s, n in enumerate((220, 230))]
    assert marks(only(runs)) == {"a": "tied", "b": "tied", "c": "second"}


def test_a_worst_class_six_points_ahead_is_a_tie_on_sixty_images_per_class(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    a, b = (LABELS != 0) | (rng.random(600) < 0.5), (LABELS != 0) | (rng.random(600) < 0.5)
    table = only([run(tmp_path, "a", a), run(tmp_path, "b", b)])
    found = cells(table, WORST)
    assert abs((found["a"].mean or 0) - (found["b"].mean or 0)) > 0.06
    assert {cell.mark for cell in found.values()} == {"tied"}


class TestWithoutPredictions:
    def test_the_group_goes_by_printed_values_and_a_note_says_why(self, close: list[Run]) -> None:
        Path(close[1][0], "predictions.npz").unlink()
        table = only(close)
        assert marks(table) == {"a": "best", "b": "second", "c": None, "d": None, "e": None}
        (note,) = table.notes
        assert note.startswith("Marks among the students wrn-10-1 go by the printed value, without a significance test")
        assert "holds no predictions.npz" in note
        assert not table.tested

    def test_another_runs_predictions_are_not_believed(self, close: list[Run]) -> None:
        Path(close[1][0], "predictions.npz").write_bytes(Path(close[0][0], "predictions.npz").read_bytes())
        assert "does not belong to the record" in only(close).notes[0]

    def test_rows_on_other_images_are_not_tested_against_each_other(self, close: list[Run], tmp_path: Path) -> None:
        other = run(tmp_path, "f", right_on(120), digest="e" * 64)
        assert "not tested on the same images" in only([*close, other]).notes[0]

    def test_other_students_are_tested_all_the_same(self, close: list[Run], tmp_path: Path) -> None:
        lacking = (
            make_record({"pgd20": (0.5, 0.1, 0.2)}, student="s"),
            make_record({"pgd20": (0.4, 0.1, 0.2)}, student="s", method="zskt"),
        )
        table = only([*close, *((str(write_record(tmp_path, record)), record) for record in lacking)])
        assert table.tested
        assert [row.cells[AVERAGE].mark for row in table.groups[0].rows] == ["second", "best"]
        assert [row.cells[AVERAGE].mark for row in table.groups[1].rows][:3] == 3 * ["tied"]
        assert "among the students s " in table.notes[0]

    def test_a_teacher_needs_none(self, close: list[Run]) -> None:
        teacher = ("shipped with dfrd-bench", make_record({"pgd20": (0.9, 0.8, 0.1)}, kind="teacher"))
        table = only([*close, teacher], teachers=True)
        assert table.notes == ()
        assert marks(table)["Teacher (wrn-10-2)"] is None

    def test_a_single_row_needs_none(self, close: list[Run]) -> None:
        Path(close[0][0], "predictions.npz").unlink()
        assert only(close[:1]).notes == ()


class TestIntervals:
    def test_a_single_seed_shows_its_records_interval(self, close: list[Run]) -> None:
        table = only(close, intervals=True, evidence=None)
        for row, (_, record) in zip(table.rows, close, strict=True):
            for column, cell in row.cells.items():
                assert cell.interval == record.evaluation.attacks["pgd20"].intervals[column.metric]
        assert "[low, high]: 95% bootstrap interval over test images" in " ".join(table.legend)

    def test_several_seeds_show_that_of_their_mean_on_resampled_images(self, tmp_path: Path) -> None:
        right = [right_on(n, start=s) for n, s in ((100, 0), (150, 50), (120, 20))]
        table = only([run(tmp_path, "a", r, seed=seed) for seed, r in enumerate(right)], intervals=True)
        rng, drawn = np.random.default_rng(1), []
        for _ in range(2000):
            images = np.concatenate([rng.choice(np.flatnonzero(k == LABELS), 60) for k in range(10)])
            drawn.append(np.mean([r[images].mean() for r in right]))
        low, high = np.quantile(drawn, [0.025, 0.975])
        assert table.rows[0].cells[AVERAGE].interval == pytest.approx((low, high), abs=0.004)
        assert "±" not in " ".join(table.legend)

    def test_several_seeds_without_predictions_keep_their_spread_and_say_so(self, tmp_path: Path) -> None:
        runs = [run(tmp_path, "a", right_on(n), seed=s) for s, n in enumerate((100, 110))]
        Path(runs[1][0], "predictions.npz").unlink()
        for table in (only(runs, intervals=True), only(runs, intervals=True, evidence=None)):
            (row,) = table.rows
            assert row.cells[AVERAGE].interval is None
            assert row.uncertainty(AVERAGE) == " ± 1.18"
            assert table.notes[0].startswith("a keeps its ± over seeds, as its interval is not known: ")
            assert "Mean ± sample standard deviation" in " ".join(table.legend)

    def test_text_is_percent_with_one_decimal_and_nsd_with_three(self) -> None:
        assert AVERAGE.show_interval(0.70149, 0.7575) == "[70.1, 75.8]"
        assert Column("pgd20", "nsd").show_interval(0.0701, 0.1) == "[0.070, 0.100]"

    def test_csv_has_columns_for_them_and_only_then(self, close: list[Run], tmp_path: Path) -> None:
        frame = pd.read_csv(io.StringIO(render([only(close, intervals=True)], "csv")))
        intervals = [record.evaluation.attacks["pgd20"].intervals["nsd"] for _, record in close]
        assert list(zip(frame["pgd20_nsd_low"], frame["pgd20_nsd_high"], strict=True)) == intervals
        assert "pgd20_nsd_low" not in render([only(close)], "csv")

    def test_the_option_reaches_the_table(self, close: list[Run], tmp_path: Path) -> None:
        plain, intervals = (tiny.command("table", tmp_path, *more).out for more in ([], ["--ci"]))
        assert "80.00 [" in intervals
        assert "80.00 [" not in plain


class TestPrinted:
    def test_markdown_has_bold_and_a_dagger(self, close: list[Run]) -> None:
        text = render([only(close)], "markdown")
        assert " **80.00**† |" in text
        assert " <u>60.00</u> |" in text
        assert "**bold**†: the best and all that the test images cannot tell from it" in text

    def test_latex_stays_ascii(self, close: list[Run]) -> None:
        text = render([only(close)], "latex")
        assert r"\textbf{80.00}$^\dagger$ &" in text
        assert r"\textbf{bold}$^\dagger$: the best" in text
        assert text.isascii()

    def test_html_has_it_too(self, close: list[Run]) -> None:
        assert "<strong>80.00</strong>†</td>" in render([only(close)], "html")

    def test_csv_holds_numbers_only(self, close: list[Run]) -> None:
        assert pd.read_csv(io.StringIO(render([only(close)], "csv")))["pgd20_average"].dtype == float

    def test_plain_text_shows_and_explains_the_sign(self, close: list[Run]) -> None:
        text = render([only(close)], "terminal")
        assert "80.00†" in text
        assert "†: the best per student and all that the test images" in " ".join(text.split())
        lines = [line for line in text.splitlines() if "80.00" in line or "60.00" in line]
        assert len({line.index(".00") for line in lines}) == 1

    def test_a_terminal_shows_ties_in_bold(self, close: list[Run]) -> None:
        stream = io.StringIO()
        Console(file=stream, width=300, force_terminal=True, color_system="standard", _environ={}).print(
            renderable([only(close)])
        )
        assert "\x1b[1m80.00†\x1b[0m" in stream.getvalue()
        assert "\x1b[4m60.00\x1b[0m" in stream.getvalue()
