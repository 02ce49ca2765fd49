"""Every kind of figure shows what the records say: its points, bars and lines against numbers counted by hand."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from measured_runs import LABELS, measured
from table_records import make_record

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.schema import Record, TrainingRecord
from dfrd_bench.reporting.evidence import Run, predictions_beside_records
from dfrd_bench.reporting.figures.beside import beside_figure, kept_images
from dfrd_bench.reporting.figures.capacity import capacity_figure, families_of
from dfrd_bench.reporting.figures.choice import Chosen, Wanted, choose_rows, choose_table
from dfrd_bench.reporting.figures.classes import classes_figure
from dfrd_bench.reporting.figures.epochs import epochs_figure
from dfrd_bench.reporting.figures.hyperparameter import beta_figure, hyperparameter_figure, sweeps_over
from dfrd_bench.reporting.figures.nsd import nsd_figure
from dfrd_bench.reporting.figures.plane import cost_figure, plane_figure
from dfrd_bench.reporting.figures.samples import Samples
from dfrd_bench.reporting.figures.saving import save_figure
from dfrd_bench.reporting.figures.style import COLUMN, LEAST, PAGE, bar_look, look
from dfrd_bench.reporting.figures.weights import equal_weights, weights_figure, with_weights

EACH = 60  # images of a class
WEAK = 3


def hits(weak: float, others: float) -> np.ndarray:
    """Right on these shares of the weakest class and of any other; the first images of each."""
    place = np.arange(len(LABELS)) // 10
    return place < np.where(LABELS == WEAK, weak, others) * EACH


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    """A teacher, FERD of two seeds, ARD and Fair-ARD."""
    made = [
        measured(tmp_path, {"clean": hits(1, 1), "pgd20": hits(0.8, 0.9)}, kind="teacher"),
        measured(tmp_path, {"clean": hits(0.9, 1), "pgd20": hits(0.3, 0.7)}),
        measured(tmp_path, {"clean": hits(0.9, 1), "pgd20": hits(0.5, 0.7)}, seed=1),
        measured(tmp_path, {"clean": hits(1, 1), "pgd20": hits(0.2, 0.8)}, method="ard", sees="training images"),
        measured(tmp_path, {"clean": hits(1, 1), "pgd20": hits(0.4, 0.8)}, method="fair-ard", sees="training images"),
    ]
    return [(folder, record) for folder, record in made]


def chosen(runs: list[Run], **wanted: Any) -> Chosen:
    return choose_rows(runs, Wanted(**wanted))


def lines(axis: Any) -> dict[str, list[float]]:
    """The labelled lines of an axis: what they are called, and their heights."""
    return {line.get_label(): [float(y) for y in line.get_ydata()] for line in axis.lines}


def write_history(run: Run, numbers: Callable[[int], dict[str, float]], epochs: int = 4) -> None:
    text = "".join(json.dumps({"epoch": e, "seconds": 1.0, **numbers(e)}) + "\n" for e in range(epochs))
    (Path(run[0]) / "history.jsonl").write_text(text)


def trained(run: Run, minutes: float) -> Run:
    training = TrainingRecord(epochs=1, seconds=60 * minutes, peak_memory_bytes=1, last={})
    return run[0], run[1].model_copy(update={"training": training})


class TestClasses:
    def test_lines_are_the_shares_of_each_class_averaged_over_seeds(self, runs: list[Run]) -> None:
        clean, pgd = classes_figure(chosen(runs)).axes
        expected = [70.0] * 10
        expected[WEAK] = 40.0  # the middle of 30 and 50
        assert lines(pgd)["FERD"] == pytest.approx(expected)
        assert lines(pgd)["Teacher (wrn-10-2)"][WEAK] == pytest.approx(80)
        assert (clean.get_title(), pgd.get_title()) == ("(a) Clean", "(b) PGD-20")

    def test_many_classes_stand_in_the_order_of_the_teachers_accuracy(self, tmp_path: Path) -> None:
        labels = np.arange(600) % 50
        right = np.arange(600) // 50 < (labels * 7 % 12)  # of twelve images of each class
        student = measured(tmp_path, {"clean": labels >= 0}, labels=labels)
        teacher = measured(tmp_path, {"clean": right}, labels=labels, kind="teacher")
        (axis,) = classes_figure(chosen([student, teacher])).axes
        heights = lines(axis)["Teacher (wrn-10-2)"]
        assert heights == sorted(heights, reverse=True)


def test_a_teacher_without_a_wanted_attack_is_left_out_and_said(tmp_path: Path) -> None:
    student = measured(tmp_path, {"clean": hits(1, 1), "pgd20": hits(0.3, 0.7)})
    teacher = measured(tmp_path, {"clean": hits(1, 1)}, kind="teacher")
    rows = chosen([student, teacher], attacks=("pgd20",))
    assert rows.teacher is None
    assert any("pgd20 was not run on it" in note for note in rows.notes)
    with pytest.raises(DfrdBenchError, match="pgd20 was not run on CMI"):
        chosen([student, measured(tmp_path, {"clean": hits(1, 1)}, method="cmi")], attacks=("pgd20",))


class TestPlane:
    def test_points_are_average_and_worst_class_with_the_records_intervals(self, runs: list[Run]) -> None:
        evidence = predictions_beside_records()
        rows = choose_rows(runs, Wanted(track="with-data"), evidence=evidence, intervals=True)
        (axis,) = plane_figure(rows, Wanted()).axes
        places = {
            c.get_label(): (float(c.lines[0].get_xdata()[0]), float(c.lines[0].get_ydata()[0])) for c in axis.containers
        }
        assert places["ARD"] == pytest.approx((74, 20))
        assert places["Teacher (wrn-10-2)"] == pytest.approx((89, 80))
        ard = next(record for _, record in runs if record.spec.method == "ard").evaluation.attacks["pgd20"]
        bars = next(c for c in axis.containers if c.get_label() == "ARD").lines[2]
        across = bars[0].get_segments()[0][:, 0]
        assert list(across) == pytest.approx([100 * bound for bound in ard.intervals["average"] or ()])

    def test_its_axis_names_the_strongest_attack_that_all_ran(self, runs: list[Run]) -> None:
        assert "PGD-20" in plane_figure(chosen(runs), Wanted()).axes[0].get_xlabel()
        assert plane_figure(chosen(runs), Wanted()).axes[0].get_ylim()[0] == 0  # no accuracy is below
        assert (
            "Clean" in plane_figure(chosen(runs, attacks=("clean",)), Wanted(attacks=("clean",))).axes[0].get_xlabel()
        )


class TestCost:
    def test_points_are_at_the_minutes_of_training(self, runs: list[Run]) -> None:
        timed = [trained(run, minutes) for run, minutes in zip(runs, (0, 4, 8, 1, 1), strict=True)]
        average, worst = cost_figure(chosen(timed), Wanted()).axes
        (point,) = [c.lines[0] for c in average.containers if c.get_label() == "FERD"]
        assert (point.get_xdata()[0], point.get_ydata()[0]) == pytest.approx((6, 67))  # 9·70 and 40 over 10
        (point,) = [c.lines[0] for c in worst.containers if c.get_label() == "FERD"]
        assert point.get_ydata()[0] == pytest.approx(40)

    def test_records_without_times_are_refused(self, runs: list[Run]) -> None:
        with pytest.raises(DfrdBenchError, match="No record here says how long"):
            cost_figure(chosen(runs), Wanted())


class TestNSD:
    def test_pairs_stand_side_by_side_below_the_teachers_line(self, runs: list[Run]) -> None:
        figure = nsd_figure(chosen(runs, track="with-data", attacks=("pgd20",)))
        (axis,) = figure.axes
        heights = [bar.get_height() for bar in axis.patches]
        by_hand = [np.std(shares) / np.mean(shares) for shares in ([0.2] + [0.8] * 9, [0.4] + [0.8] * 9)]
        assert heights == pytest.approx(by_hand)
        assert lines(axis)["Teacher (wrn-10-2)"][0] == pytest.approx(np.std([0.8] + [0.9] * 9) / 0.89)
        assert [label.get_text() for label in axis.get_xticklabels()] == ["ARD"]
        assert len({bar.get_hatch() for bar in axis.patches}) == 2  # told apart in grey

    def test_without_pairs_every_row_has_a_bar(self, runs: list[Run]) -> None:
        figure = nsd_figure(chosen(runs, track="data-free", attacks=("pgd20",)))
        assert len(figure.axes[0].patches) == 1


class TestCapacity:
    def test_architectures_are_sorted_into_families_of_one_size(self) -> None:
        students = ["wrn-10-1", "wrn-10-2", "wrn:16-1", "resnet-34", "resnet-18", "mobilenet-v2", "preactresnet-18"]
        assert families_of(students) == {
            "width W of WRN-10-W": [(1, "wrn-10-1"), (2, "wrn-10-2")],
            "depth D of WRN-D-1": [(10, "wrn-10-1"), (16, "wrn:16-1")],
            "layers X of ResNet-X": [(18, "resnet-18"), (34, "resnet-34")],
        }

    def students(self, *names: str) -> list[Run]:
        return [
            (
                name,
                make_record({"pgd20": (0.5, 0.2, 0.1 * place)}, student=name).model_copy(
                    update={"parameters": 10**place}
                ),
            )
            for place, name in enumerate(names, start=1)
        ]

    def test_points_are_nsd_at_each_size(self) -> None:
        table, _ = choose_table(self.students("wrn-10-1", "wrn-10-2", "wrn:10-4"), Wanted())
        (axis,) = capacity_figure(table, Wanted()).axes
        line = axis.containers[0].lines[0]
        assert list(line.get_xdata()) == [1, 2, 4]
        assert list(line.get_ydata()) == pytest.approx([0.1, 0.2, 0.3])

    def test_of_no_family_the_parameters_are_the_axis(self) -> None:
        table, _ = choose_table(self.students("mobilenet-v2", "resnet-18"), Wanted())
        (axis,) = capacity_figure(table, Wanted()).axes
        assert list(axis.containers[0].lines[0].get_xdata()) == [10, 100]
        assert axis.get_xlabel() == "parameters of the student"

    def test_one_size_is_refused(self) -> None:
        table, _ = choose_table(self.students("wrn-10-1"), Wanted())
        with pytest.raises(DfrdBenchError, match="needs students of two sizes"):
            capacity_figure(table, Wanted())


def swept(value: float, seed: int, average: float, **config: float) -> Run:
    label = "default" if value == 0.5 else f"gamma={value}"
    numbers = {"clean": (0.9, 0.8, 0.1), "pgd20": (average, average / 2, 0.2)}
    settings = {"epochs": 2, "gamma": value, "lr": 0.1, **config}
    return f"{value}-{seed}-{config}", make_record(numbers, variant=label, seed=seed, config=settings)


class TestHyperparameter:
    runs = (swept(0.9, 0, 0.3), swept(0.1, 0, 0.4), swept(0.1, 1, 0.6), swept(0.5, 0, 0.5), swept(0.7, 0, 0.9, lr=0.2))

    def test_runs_that_differ_in_more_are_left_out_and_values_are_in_order(self) -> None:
        (sweep,) = sweeps_over(self.runs, "gamma")
        assert {value: len(part) for value, part in sweep.runs.items()} == {0.1: 2, 0.5: 1, 0.9: 1}
        assert list(sweep.runs) == [0.1, 0.5, 0.9]
        (along,) = sweeps_over(self.runs, "gamma", ["lr"])
        assert list(along.runs) == [0.1, 0.5, 0.7, 0.9]

    def test_points_are_means_over_seeds_and_whiskers_their_deviation(self) -> None:
        average, worst = hyperparameter_figure(self.runs, "gamma").axes
        pgd = next(c for c in average.containers if c.get_label() == "PGD-20")
        assert list(pgd.lines[0].get_ydata()) == pytest.approx([50, 50, 30])
        low, high = pgd.lines[2][0].get_segments()[0][:, 1]
        assert high - low == pytest.approx(2 * 100 * np.std([0.4, 0.6], ddof=1))
        assert list(worst.containers[1].lines[0].get_ydata()) == pytest.approx([25, 25, 15])

    @pytest.mark.parametrize(
        ("name", "said"),
        [("gama", "Did you mean 'gamma'"), ("lr", "No two runs here differ in lr alone"), ("epochs", r"it is 2")],
    )
    def test_what_cannot_be_drawn_is_said(self, name: str, said: str) -> None:
        with pytest.raises(DfrdBenchError, match=said):
            hyperparameter_figure(self.runs, name)

    def test_runs_that_share_no_attack_are_refused(self) -> None:
        lone = make_record(
            {"fgsm": (0.5, 0.2, 0.1)}, variant="gamma=0.3", config={"epochs": 2, "gamma": 0.3, "lr": 0.1}
        )
        with pytest.raises(DfrdBenchError, match="No attack was run on all of these"):
            hyperparameter_figure([self.runs[0], ("x", lone)], "gamma")

    def test_beta_shows_the_last_epochs_weights(self, tmp_path: Path) -> None:
        made = []
        for beta in (1.0, 3.0):
            folder, record = measured(
                tmp_path, {"pgd20": hits(0.2, 0.8)}, method="fair-ard", config={"beta": beta}, sees="training images"
            )
            made.append((folder, record))
            write_history(made[-1], lambda e, beta=beta: {f"w/{k}": beta * k + e for k in range(10)})  # type: ignore[misc]
        weights, *_ = beta_figure(made).axes
        assert lines(weights) == {f"β = {b:.3g}": [b * k + 3 for k in range(10)] for b in (1.0, 3.0)}


class TestWeights:
    def test_the_picture_is_the_history_and_the_bars_are_both_runs(self, runs: list[Run]) -> None:
        ard, fair = runs[3], runs[4]
        write_history(fair, lambda e: {f"w/{k}": 1 + k * e / 10 for k in range(10)})
        assert with_weights(runs) == [fair]
        assert equal_weights(fair, runs) == ard
        above, below, _ = weights_figure(fair, ard).axes
        shown = np.asarray(above.images[0].get_array())
        assert shown == pytest.approx(np.array([[1 + k * e / 10 for e in range(4)] for k in range(10)]))
        heights = [bar.get_height() for bar in below.patches]
        assert [heights[WEAK], heights[10 + WEAK]] == pytest.approx([40, 20])

    def test_equal_weights_are_those_of_the_same_method_without_reweighting(
        self, runs: list[Run], tmp_path: Path
    ) -> None:
        without = measured(tmp_path, {"pgd20": hits(0.2, 0.8)}, variant="reweighting=false", config={"epochs": 3})
        other = measured(
            tmp_path, {"pgd20": hits(0.2, 0.8)}, variant="reweighting=false+utae=false", config={"epochs": 4}
        )
        assert equal_weights(runs[1], [*runs, other, without]) == without
        assert equal_weights(runs[3], runs) is None


class TestEpochs:
    def numbers(self, e: int) -> dict[str, float]:
        return {
            f"probe_test_{name}": value for name, value in (("clean", 0.9), ("average", e / 10), ("worst_class", 0.1))
        }

    def test_lines_are_the_probes(self, runs: list[Run]) -> None:
        write_history(runs[1], self.numbers)
        accuracy, nsd = epochs_figure([runs[1]]).axes
        assert lines(accuracy)["PGD, average"] == pytest.approx([0, 10, 20, 30])
        assert [int(x) for x in accuracy.lines[0].get_xdata()] == [1, 2, 3, 4]
        assert lines(nsd)["NSD under PGD"] == []  # nowhere defined

    def test_what_the_runs_share_is_shown_and_the_title_says_what_it_is(self, runs: list[Run]) -> None:
        write_history(runs[1], lambda e: {**self.numbers(e), "probe_synthetic_average": 0.5})
        write_history(runs[2], self.numbers)
        figure = epochs_figure(runs[1:3])
        assert "a part of the test images" in figure.get_suptitle()
        assert "synthetic images" in epochs_figure(runs[1:2]).get_suptitle()

    def test_a_run_without_probes_is_refused(self, runs: list[Run]) -> None:
        write_history(runs[1], lambda e: {"loss": 1.0})
        with pytest.raises(DfrdBenchError, match="was not probed: metrics over epochs are kept by"):
            epochs_figure([runs[1]])


def test_synthetic_images_stand_in_the_row_of_their_class(runs: list[Run]) -> None:
    images = np.zeros((2, 1, 8, 8), np.uint8)
    images[0], images[1] = 100, 200
    Samples(images, np.array([4, 7]), np.ones(2, np.float32)).save(Path(runs[1][0]))
    rows = chosen(runs)
    parts = kept_images(rows.rows, runs)
    assert [name for name, _ in parts] == ["FERD"]
    picture = np.asarray(beside_figure(parts, runs[1][1], columns=2).axes[0].images[0].get_array())
    assert picture.shape == (10 * 9 - 1, 2 * 9 - 1, 3)
    assert picture[4 * 9 : 4 * 9 + 8, :8].tolist() == np.full((8, 8, 3), 100).tolist()
    assert (picture[7 * 9 : 7 * 9 + 8, :8] == 200).all()
    assert (picture[:, 9:] == 255).all()  # no second image anywhere


def test_methods_that_keep_no_images_are_refused(runs: list[Run]) -> None:
    with pytest.raises(DfrdBenchError, match="None of these runs kept synthetic images"):
        kept_images(chosen(runs).rows, runs)


def every_kind(runs: list[Run]) -> dict[str, Any]:
    """A figure of every kind that records and histories give."""
    timed = [trained(run, 2) for run in runs]
    fair = next((run for run in runs if run[1].spec.method == "fair-ard"), runs[1])
    write_history(fair, lambda e: {**{f"w/{k}": 1.0 for k in range(10)}, "probe_test_average": 0.5})
    rows = chosen(runs)
    return {
        "classes": classes_figure(rows),
        "plane": plane_figure(rows, Wanted()),
        "cost": cost_figure(chosen(timed), Wanted()),
        "nsd": nsd_figure(rows),
        "weights": weights_figure(fair, runs[1]),
        "epochs": epochs_figure([fair]),
        "hyperparameter": hyperparameter_figure(TestHyperparameter.runs, "gamma"),
    }


def test_everything_can_be_read_at_the_size_of_print(runs: list[Run], tmp_path: Path) -> None:
    from matplotlib.text import Text

    for name, figure in every_kind(runs).items():
        save_figure(figure, tmp_path / f"{name}.png")
        assert round(figure.get_figwidth(), 2) in (COLUMN, PAGE), name
        assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= LEAST, name


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_the_same_records_give_the_same_file(runs: list[Run], tmp_path: Path, ending: str) -> None:
    rows = chosen(runs)
    for name in ("a", "b"):
        save_figure(plane_figure(rows, Wanted()), tmp_path / f"{name}.{ending}")
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


def test_a_name_that_begins_with_a_line_is_in_the_legend(tmp_path: Path) -> None:
    """Matplotlib leaves such labels out."""
    run = measured(tmp_path, {"pgd20": hits(0.3, 0.7)}, method="_mine")
    figure = classes_figure(chosen([run]))
    assert [text.get_text().strip() for text in figure.legends[0].texts] == ["_mine"]


def many_rows(folder: Path, variants: list[str]) -> list[Run]:
    attacks = dict.fromkeys(("clean", "fgsm", "pgd20", "cw", "autoattack"), hits(0.3, 0.7))
    return [measured(folder, attacks, variant=variant) for variant in variants]


def test_a_legend_of_many_rows_stands_below_the_panels_and_takes_none_of_their_room(tmp_path: Path) -> None:
    runs = many_rows(tmp_path, [f"synthesis_rounds={k}+synthesis_steps=40" for k in range(12)])
    for draw in (classes_figure, nsd_figure):
        figure = draw(chosen(runs))
        figure.draw_without_rendering()
        boxes = [axis.get_window_extent() for axis in figure.axes if axis.get_visible()]
        legend = figure.legends[0].get_window_extent()
        assert len(boxes) == 5
        assert min(box.width for box in boxes) > 0.2 * figure.bbox.width
        assert legend.y1 < min(box.y0 for box in boxes)
        assert legend.x0 >= 0
        assert legend.x1 <= figure.bbox.width


def test_a_legend_of_few_rows_stands_where_no_panel_is(tmp_path: Path) -> None:
    figure = classes_figure(chosen(many_rows(tmp_path, ["fae=false", "utae=false"])))
    assert figure.legends == []
    assert next(text.get_text() for text in figure.axes[-1].get_legend().texts) == "FERD (fae=false)"


def test_titles_of_synthetic_images_never_overlap_however_long(runs: list[Run]) -> None:
    images = Samples(np.zeros((2, 1, 8, 8), np.uint8), np.array([4, 7]), np.ones(2, np.float32))
    parts = [(f"Fast (synthesis_rounds={k}+synthesis_steps=40)", images) for k in range(7)]  # one row of panels
    figure = beside_figure(parts, runs[1][1], columns=4)
    figure.draw_without_rendering()
    titles = [axis.title for axis in figure.axes[:7]]
    boxes = [title.get_window_extent() for title in titles]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    assert [title.get_text().replace("\n", "").replace(" ", "") for title in titles] == [
        name.replace(" ", "") for name, _ in parts
    ]


def test_bars_of_many_rows_have_another_fill_and_hatch_each() -> None:
    assert len({(bar_look(k)["facecolor"], bar_look(k)["hatch"]) for k in range(49)}) == 49


def test_series_are_told_apart_without_colour() -> None:
    assert len({(str(look(k)["marker"]), str(look(k)["linestyle"])) for k in range(20)}) == 20


@pytest.mark.parametrize("name", ["$\\bad{$", "_hidden", "a\nb\x1b", "x" * 90])
def test_records_may_hold_any_name(tmp_path: Path, name: str) -> None:
    def odd(record: Record) -> Record:
        spec = record.spec.model_copy(update={"variant": name, "method": name, "student": name, "dataset": name})
        info = record.dataset.info.model_copy(update={"class_names": (name, *record.dataset.info.class_names[1:])})
        return record.model_copy(update={"spec": spec, "dataset": record.dataset.model_copy(update={"info": info})})

    folder, record = measured(tmp_path, {"clean": hits(1, 1), "pgd20": hits(0.3, 0.7)})
    runs = [
        (folder, odd(record)),
        (folder, odd(record.model_copy(update={"spec": record.spec.model_copy(update={"seed": 1})}))),
    ]
    for kind, figure in every_kind(runs).items():
        save_figure(figure, tmp_path / f"{kind}.png")
