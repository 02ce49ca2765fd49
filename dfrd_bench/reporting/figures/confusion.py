"""Figures from records: what a network takes its test images for under each attack."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dfrd_bench.errors import unknown_name
from dfrd_bench.evaluation.metrics import target_distribution, target_entropy
from dfrd_bench.records.files import write_atomically
from dfrd_bench.records.schema import AttackRecord, Record
from dfrd_bench.reporting.escaping import plain_in_figures
from dfrd_bench.reporting.figures.fonts import every_script
from dfrd_bench.reporting.tables.layout import ATTACK_TITLES, attack_title, display_name

CONFUSION_FILE = "confusion.png"
NUMBERED = 20  # classes up to which a cell has room for its count
NAMED = 50  # names that fit along an axis
DOTS_PER_INCH = 120
COLOUR = "#2f5d8a"


def confusion_figure(record: Record, attack: str | None = None) -> Any:
    """The confusion matrix under each attack, and below it which classes the misclassified images are taken for.

    As figures 2 and 9 of FERD: true class by predicted class, darker for a larger share of the true class. Up to 20 classes
    each cell holds its number of images; with more, shades are on a square-root scale, so that rare confusions are seen.

    Args:
        record: of the run.
        attack: show only this one.

    Returns:
        A `matplotlib.figure.Figure` with two rows of axes and a column per attack.

    Raises:
        DfrdBenchError: the run was not evaluated with that attack.
    """
    from matplotlib.figure import Figure

    results = record.evaluation.attacks
    if attack is not None and attack not in results:
        raise unknown_name("attack in this record", attack, results)
    order = [*ATTACK_TITLES, *sorted(results.keys() - ATTACK_TITLES.keys())]
    shown = [name for name in order if name in results and attack in (None, name)]
    names = [plain_in_figures(name) for name in record.dataset.info.class_names]
    side = min(8.0, max(3.4, 0.07 * len(names)))
    figure = Figure(figsize=(side * len(shown) + 1.2, 1.35 * side + 0.6), layout="constrained")
    axes: Any = figure.subplots(2, len(shown), squeeze=False, sharex="col", height_ratios=(3.2, 1))
    highest = max(target_distribution(np.array(results[name].confusion)).max() for name in shown)
    for column, name in enumerate(shown):
        upper, lower = axes[:, column]
        _draw_matrix(
            upper, results[name], f"{plain_in_figures(attack_title(name))}: {100 * results[name].average:.1f} % correct"
        )
        _draw_targets(lower, results[name], highest)
        _name_classes(lower.xaxis, names)
        upper.tick_params(labelbottom=False)
        if column:
            upper.set_yticks([])
            lower.tick_params(labelleft=False)
        else:
            _name_classes(upper.yaxis, names)
            upper.set_ylabel("true class")
            lower.set_ylabel("share of the\nmisclassified")
    figure.supxlabel("predicted class", fontsize=10)
    figure.suptitle(f"{subject(record)}; dashed: all classes equally often", fontsize=11)
    return figure


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure in the format that the file's ending names, PNG without one.

    Raises:
        DfrdBenchError: there is no such format, or the file cannot be written.
    """
    buffer = io.BytesIO()
    ending = picture_format(path)
    with every_script(figure):
        figure.savefig(buffer, format=ending, dpi=DOTS_PER_INCH)
    write_atomically(path, buffer.getvalue())


def picture_format(path: Path) -> str:
    """The format that a file's ending names, PNG without one.

    Raises:
        DfrdBenchError: there is no such format.
    """
    from matplotlib.backend_bases import FigureCanvasBase

    ending, known = path.suffix.removeprefix(".").lower() or "png", FigureCanvasBase.get_supported_filetypes()
    if ending not in known:
        raise unknown_name("picture format", ending, known)
    return ending


def _draw_matrix(axis: Any, result: AttackRecord, title: str) -> None:
    """Shares of each true class, with counts while there is room for them."""
    from matplotlib.colors import PowerNorm

    counts = np.array(result.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    scale = PowerNorm(1 if len(counts) <= NUMBERED else 0.5, vmin=0, vmax=1)
    axis.imshow(shares, cmap="Blues", norm=scale, aspect="auto", interpolation="nearest")
    axis.set_title(title, fontsize=10)
    if len(counts) <= NUMBERED:
        size = min(8.0, 80 / len(counts))
        for (row, column), count in np.ndenumerate(counts):
            if count:
                dark = shares[row, column] > 0.55
                axis.text(
                    column, row, str(count), ha="center", va="center", size=size, color="white" if dark else "black"
                )


def _draw_targets(axis: Any, result: AttackRecord, highest: float) -> None:
    """Which classes the misclassified images are taken for, beside what equal shares would be."""
    confusion = np.array(result.confusion)
    shares, entropy = target_distribution(confusion), target_entropy(confusion)
    axis.bar(range(len(shares)), shares, width=0.8, color=COLOUR)
    axis.axhline(1 / len(shares), color="black", linewidth=0.8, linestyle="--")
    axis.set_ylim(0, 1.1 * highest or 1)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_title("nothing misclassified" if entropy is None else f"target entropy {entropy:.2f}", fontsize=9)


def _name_classes(axis: Any, names: Sequence[str]) -> None:
    """Class names along an axis; of many classes every n-th."""
    step = -(-len(names) // NAMED)
    upright = axis.axis_name == "x" and (len(names) > NUMBERED or max(map(len, names)) > 2)
    axis.set_ticks(range(0, len(names), step), names[::step], fontsize=8 if len(names) <= NUMBERED else 6)
    if upright:
        axis.set_tick_params(rotation=90)


def subject(record: Record) -> str:
    """Whose numbers a figure shows, and on what, e.g. "FERD, seed 1 on wrn-10-1: 900 test images of digits"."""
    spec = record.spec
    who = f"Teacher {spec.teacher.name}" if spec.kind == "teacher" else f"{display_name(spec.method)}, seed {spec.seed}"
    variant = "" if spec.variant == "default" else f" ({spec.variant})"
    return plain_in_figures(
        f"{who}{variant} on {spec.student}: {record.dataset.test_images} test images of {spec.dataset}"
    )
