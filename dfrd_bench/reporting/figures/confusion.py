"""Figures from records: what a network takes its test images for under each attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfrd_bench.errors import unknown_name
from dfrd_bench.evaluation.metrics import target_distribution, target_entropy
from dfrd_bench.records.schema import Record
from dfrd_bench.reporting.escaping import plain_in_figures
from dfrd_bench.reporting.figures.captions import subject, who
from dfrd_bench.reporting.figures.saving import save_figure as save_figure
from dfrd_bench.reporting.figures.style import COLOURS, LEAST, PAGE, SHADES, SMALL, canvas, headline, styled
from dfrd_bench.reporting.tables.layout import ATTACK_TITLES, attack_title

CONFUSION_FILE = "confusion.png"
NUMBERED = 20  # classes up to which a cell has room for its count
NAMED = 50  # names that fit along an axis
ACROSS = 3  # matrices in a row
SIDE = 2.1  # inches of a matrix of few classes
NUMBERED_CELL, CELL = 0.15, 0.06  # inches of a class, with a number and without
TALL = 3.2  # a matrix is so many times as high as the bars below it


@dataclass(frozen=True)
class Matrix:
    """One panel: counts [K, K] of true class by predicted class, and what they are of."""

    title: str
    counts: NDArray[np.int64]


def confusion_figure(record: Record, attack: str | None = None) -> Any:
    """The confusion matrix under each attack, and below it which classes the misclassified images are taken for.

    As figures 2 and 9 of FERD: true class by predicted class, darker for a larger share of the true class. Up to 20 classes
    each cell holds its number of images; with more, shades are on a square-root scale, so that rare confusions are seen.

    Args:
        record: of the run.
        attack: show only this one.

    Returns:
        A `matplotlib.figure.Figure` with two rows of axes and a column per attack; from the fourth attack on below the first.

    Raises:
        DfrdBenchError: the run was not evaluated with that attack.
    """
    results = record.evaluation.attacks
    if attack is not None and attack not in results:
        raise unknown_name("attack in this record", attack, results)
    order = [*ATTACK_TITLES, *sorted(results.keys() - ATTACK_TITLES.keys())]
    shown = [name for name in order if name in results and attack in (None, name)]
    matrices = [
        Matrix(
            f"{plain_in_figures(attack_title(name))}: {100 * results[name].average:.1f} % correct",
            np.array(results[name].confusion),
        )
        for name in shown
    ]
    return matrices_figure(matrices, record.dataset.info.class_names, subject(record))


def synthetic_figure(record: Record, attack: str, found: Mapping[str, NDArray[np.int64]]) -> Any:
    """Confusion on real test images under an attack, beside that on the run's synthetic images (as figure 9 of FERD).

    Of synthetic images the true class is the one that the teacher gives them.

    Args:
        record: of the run; its confusion on real images is the first panel.
        attack: its name.
        found: what else was measured, by what it was measured on: counts [K, K].

    Returns:
        A `matplotlib.figure.Figure` as that of `confusion_figure`.
    """
    counts = {f"real, {attack_title(attack)}": np.array(record.evaluation.attacks[attack].confusion), **found}
    matrices = [
        Matrix(f"{plain_in_figures(name)}: {100 * of.trace() / max(int(of.sum()), 1):.1f} % correct", of)
        for name, of in counts.items()
    ]
    said = f"{who(record)} on {plain_in_figures(record.spec.student)}: real and synthetic images"
    return matrices_figure(matrices, record.dataset.info.class_names, said)


def matrices_figure(matrices: Sequence[Matrix], class_names: Sequence[str], title: str) -> Any:
    """Matrices side by side on one scale, each above the shares that its misclassified images are taken for.

    Args:
        matrices: of one set of classes.
        class_names: of each.
        title: of the figure.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    names = [plain_in_figures(name) for name in class_names]
    across = min(ACROSS, len(matrices))
    down = -(-len(matrices) // across)
    side = min(6.0, max(SIDE, (NUMBERED_CELL if len(names) <= NUMBERED else CELL) * len(names)))
    width = max(PAGE * across / ACROSS if across > 1 else 0.0, side * across + 0.8)
    highest = max(target_distribution(matrix.counts).max() for matrix in matrices)
    with styled():
        figure, axes = canvas(
            2 * down,
            across,
            width=width,
            height=down * (1 + 1 / TALL) * side + 0.6 * down + 0.4,
            height_ratios=(TALL, 1) * down,
        )
        for place in range(down * across):
            row, column = 2 * (place // across), place % across
            upper, lower = axes[row : row + 2, column]
            if place >= len(matrices):
                upper.set_visible(False)
                lower.set_visible(False)
                continue
            _draw_matrix(upper, matrices[place])
            _draw_targets(lower, matrices[place].counts, highest)
            for axis in (upper, lower):
                axis.set_xlim(-0.5, len(names) - 0.5)
            _name_classes(lower.xaxis, names)
            upper.set_xticks(lower.get_xticks(), [])
            if column:
                upper.set_yticks([])
                lower.tick_params(labelleft=False)
            else:
                _name_classes(upper.yaxis, names)
                upper.set_ylabel("true class")
                lower.set_ylabel("share of the\nmisclassified")
        figure.supxlabel("predicted class", fontsize=axes[0, 0].yaxis.label.get_size())
        headline(figure, f"{title}; dashed: all classes equally often")
    return figure


def _draw_matrix(axis: Any, matrix: Matrix) -> None:
    """Shares of each true class, with counts while there is room for them."""
    from matplotlib.colors import PowerNorm

    counts = matrix.counts
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    scale = PowerNorm(1 if len(counts) <= NUMBERED else 0.5, vmin=0, vmax=1)
    axis.imshow(shares, cmap=SHADES, norm=scale, aspect="auto", interpolation="nearest")
    axis.set_title(matrix.title)
    axis.spines[:].set_visible(True)
    if len(counts) <= NUMBERED:
        size = max(LEAST, min(SMALL - 1, 70 / len(counts)))
        for (row, column), count in np.ndenumerate(counts):
            if count:
                dark = shares[row, column] > 0.55
                axis.text(
                    column, row, str(count), ha="center", va="center", size=size, color="white" if dark else "black"
                )


def _draw_targets(axis: Any, confusion: NDArray[np.int64], highest: float) -> None:
    """Which classes the misclassified images are taken for, beside what equal shares would be."""
    shares, entropy = target_distribution(confusion), target_entropy(confusion)
    axis.bar(range(len(shares)), shares, width=0.8, color=COLOURS[0])
    axis.axhline(1 / len(shares), color="black", linewidth=0.8, linestyle="--")
    axis.set_ylim(0, 1.1 * highest or 1)
    axis.set_title("nothing misclassified" if entropy is None else f"target entropy {entropy:.2f}", fontsize=SMALL)


def _name_classes(axis: Any, names: Sequence[str]) -> None:
    """Class names along an axis; of many classes every n-th."""
    step = -(-len(names) // NAMED)
    upright = axis.axis_name == "x" and (len(names) > NUMBERED or max(map(len, names)) > 2)
    axis.set_ticks(range(0, len(names), step), names[::step], fontsize=SMALL if len(names) <= NUMBERED else LEAST)
    if upright:
        axis.set_tick_params(rotation=90)
