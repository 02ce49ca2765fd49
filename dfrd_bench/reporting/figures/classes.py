"""The figure of accuracy per class: teacher and students under each attack (as FERD's figure 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfrd_bench.reporting.escaping import plain_in_figures
from dfrd_bench.reporting.figures.choice import Chosen, label_of, shared_attacks, title_of
from dfrd_bench.reporting.figures.style import (
    COLUMN,
    PAGE,
    canvas,
    headline,
    legend_below,
    letters,
    look,
    panels,
    percent,
    styled,
    teacher_look,
)
from dfrd_bench.reporting.tables.layout import Row

ACROSS = 3  # panels in a row
NAMED = 12  # classes up to which each is named
MARKED = 40  # classes up to which each has a marker


@styled()
def classes_figure(chosen: Chosen) -> Any:
    """A panel per attack; classes from left to right, accuracy upwards; the teacher in black. Seeds are averaged.

    With more than 40 classes they stand in the order of the teacher's accuracy in the same panel (or of the first row's, without
    one), as the order of their numbers would tell nothing.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        DfrdBenchError: no attack was run on all of them.
    """
    rows = chosen.rows if chosen.teacher is None else (chosen.teacher, *chosen.rows)
    attacks = shared_attacks(rows, chosen.table)
    names = [plain_in_figures(name) for name in chosen.rows[0].records[0].dataset.info.class_names]
    across = min(ACROSS, len(attacks))
    down = -(-len(attacks) // across)
    height = 1.75 * down + 0.3
    figure, grid = canvas(down, across, width=COLUMN if across == 1 else PAGE, height=height, sharey=True)
    axes, empty = panels(grid, len(attacks))
    for axis, attack in zip(axes, attacks, strict=True):
        values = [per_class(row, attack) for row in rows]
        order = np.arange(len(names)) if len(names) <= MARKED else np.argsort(-values[0], kind="stable")
        for number, (row, accuracy) in enumerate(zip(rows, values, strict=True)):
            style = teacher_look() if row is chosen.teacher else look(number - (chosen.teacher is not None))
            axis.plot(
                100 * accuracy[order],
                label=label_of(row),
                **style | ({"marker": ""} if len(names) > MARKED else {}),
            )
        axis.set_title(title_of(attack))
        percent(axis)
        _name_classes(axis, names)
    for axis in grid[:, 0]:
        axis.set_ylabel("accuracy (%)")
    letters(axes)
    headline(figure, chosen.title)
    legend_below(figure, axes[0], 4 if across > 1 else 2, inside=empty)
    return figure


def per_class(row: Row, attack: str) -> NDArray[np.float64]:
    """Accuracy of each class [K] under an attack, averaged over seeds; NaN for a class without images."""
    values = [record.evaluation.attacks[attack].per_class for record in row.records]
    return np.asarray(np.mean(np.array(values, dtype=np.float64), axis=0))


def _name_classes(axis: Any, names: Sequence[str]) -> None:
    """Each class by its name where there is room; else its place in the order."""
    if len(names) <= NAMED:
        axis.set_xticks(range(len(names)), names)
        if max(map(len, names)) > 2:
            axis.tick_params(axis="x", rotation=90)
    else:
        axis.set_xlabel("class" if len(names) <= MARKED else "classes, the teacher's best first")
