"""Confusion figures show the record's counts, under the names of its classes, in the format asked for."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from measured_runs import measured

from dfrd_bench.records.schema import Record
from dfrd_bench.reporting.figures.confusion import confusion_figure, save_figure
from dfrd_bench.reporting.figures.samples import Samples, draw_samples

SIGNATURES = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}


def record(tmp_path: Path, classes: int = 3, per_class: int = 8) -> tuple[Path, Record]:
    """Wrong on every third image under PGD, where the next class is taken for the true one; right without attack."""
    labels = np.arange(classes * per_class) % classes
    wrong = np.arange(len(labels)) % (classes + 1) == 0
    folder, found = measured(tmp_path, {"pgd20": ~wrong, "clean": labels >= 0}, labels=labels)
    return Path(folder), found


def texts(axis: Any) -> dict[tuple[int, int], int]:
    """(row, column) -> the number written in a matrix's cell."""
    return {(round(t.get_position()[1]), round(t.get_position()[0])): int(t.get_text()) for t in axis.texts}


def test_cells_hold_the_counts_and_bars_the_shares_of_the_misclassified(tmp_path: Path) -> None:
    _, one = record(tmp_path)
    (clean, pgd), (no_bars, bars) = np.reshape(confusion_figure(one).axes, (2, 2))
    counts = np.array(one.evaluation.attacks["pgd20"].confusion)
    assert texts(pgd) == {(i, j): counts[i, j] for i in range(3) for j in range(3) if counts[i, j]}
    assert texts(clean) == {(k, k): 8 for k in range(3)}
    wrong = counts - np.diag(counts.diagonal())
    assert [bar.get_height() for bar in bars.patches] == pytest.approx(list(wrong.sum(axis=0) / wrong.sum()))
    assert [bar.get_height() for bar in no_bars.patches] == [0, 0, 0]
    assert no_bars.get_title() == "nothing misclassified"
    assert pgd.get_title() == f"PGD-20: {100 * one.evaluation.attacks['pgd20'].average:.1f} % correct"


def test_shades_are_shares_of_the_true_class(tmp_path: Path) -> None:
    _, one = record(tmp_path)
    (image,) = confusion_figure(one, "pgd20").axes[0].images
    assert np.asarray(image.get_array()).sum(axis=1) == pytest.approx(np.ones(3))


def test_axes_carry_the_class_names(tmp_path: Path) -> None:
    _, one = record(tmp_path)
    figure = confusion_figure(one, "pgd20")
    matrix, bars = figure.axes
    assert [label.get_text() for label in matrix.get_yticklabels()] == ["0", "1", "2"]
    assert [label.get_text() for label in bars.get_xticklabels()] == ["0", "1", "2"]
    assert matrix.get_ylabel() == "true class"


@pytest.mark.parametrize(("classes", "named"), [(20, 20), (21, 21), (100, 50), (200, 50)])
def test_many_classes_get_no_numbers_and_every_nth_name(tmp_path: Path, classes: int, named: int) -> None:
    _, one = record(tmp_path, classes, 2)
    matrix, bars = confusion_figure(one, "pgd20").axes
    assert bool(matrix.texts) == (classes <= 20)
    assert len(bars.get_xticks()) == named


@pytest.mark.parametrize("ending", SIGNATURES)
def test_the_ending_names_the_format(tmp_path: Path, ending: str) -> None:
    folder, _ = record(tmp_path)
    target = tmp_path / f"figure.{ending}"
    outcome = tiny.command("figure", "confusion", folder, "--attack", "pgd20", "--output", target)
    assert (outcome.code, outcome.out) == (0, f"{target}\n")
    assert target.read_bytes().startswith(SIGNATURES[ending])


def test_it_goes_beside_the_record_unless_told_otherwise(tmp_path: Path) -> None:
    folder, _ = record(tmp_path)
    assert tiny.command("figure", "confusion", folder).code == 0
    assert (folder / "confusion.png").read_bytes().startswith(SIGNATURES["png"])


def test_needs_no_predictions(tmp_path: Path) -> None:
    folder, _ = record(tmp_path)
    (folder / "predictions.npz").unlink()
    assert tiny.command("figure", "confusion", folder).code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--attack", "pgd-20"], "Unknown attack in this record 'pgd-20'. Did you mean 'pgd20'?"),
        (["--output", "figure.pgn"], "Unknown picture format 'pgn'. Did you mean 'png'"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(tmp_path: Path, options: list[str], message: str) -> None:
    folder, _ = record(tmp_path)
    outcome = tiny.command("figure", "confusion", folder, *options)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert message in outcome.err
    assert not (folder / "confusion.png").exists()


def test_a_folder_without_a_record_is_refused(tmp_path: Path) -> None:
    outcome = tiny.command("figure", "confusion", tmp_path / "nowhere")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)


@pytest.mark.parametrize("name", ["$\\bad{$", "$10_to_$20", "a\nb\x1b", "100 %", "\\frac", "x" * 400, ""])
def test_a_class_may_have_any_name(tmp_path: Path, name: str) -> None:
    _, one = record(tmp_path)
    info = one.dataset.info.model_copy(update={"class_names": (name, "b", "c")})
    figure = confusion_figure(one.model_copy(update={"dataset": one.dataset.model_copy(update={"info": info})}))
    save_figure(figure, tmp_path / "f.png")
    samples = Samples(np.zeros((3, 1, 8, 8), np.uint8), np.arange(3), np.ones(3, np.float32))
    draw_samples(samples, info.class_names, tmp_path / "s.png")
    assert (tmp_path / "f.png").read_bytes()[:4] == (tmp_path / "s.png").read_bytes()[:4] == b"\x89PNG"


def test_a_script_that_no_font_has_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, one = record(tmp_path)
    info = one.dataset.info.model_copy(update={"class_names": ("\U00012000", "\U00012001", "c")})  # Cuneiform
    figure = confusion_figure(one.model_copy(update={"dataset": one.dataset.model_copy(update={"info": info})}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(figure, tmp_path / "f.png")
    (said,) = caplog.messages
    assert said.startswith("No installed font has all characters of this figure: install Noto")
