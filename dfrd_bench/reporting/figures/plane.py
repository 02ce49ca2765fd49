"""Figures of one point per method: average against worst class, and what the training took against what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.reporting.figures.choice import Chosen, Wanted, label_of, one_attack, title_of
from dfrd_bench.reporting.figures.style import (
    COLUMN,
    PAGE,
    TEACHER,
    canvas,
    headline,
    legend_below,
    letters,
    look,
    percent,
    styled,
)
from dfrd_bench.reporting.tables.brief import minutes_of
from dfrd_bench.reporting.tables.layout import Cell, Column, Row

CROWD = 10  # rows that have room in one column of a page
ROOM = 4.0  # percent around the points


def plane_figure(chosen: Chosen, wanted: Wanted) -> Any:
    """A point per row: average accuracy to the right, that of the worst class upwards, with their 95 % intervals.

    On the diagonal every class would fare alike; how far below it a point lies is what the weak classes pay. Up and to the
    right is better in both. Two methods whose bars overlap may still differ (docs/statistics.md).

    Args:
        chosen: rows whose cells hold intervals where they are known; else the bars are standard deviations over seeds.
        wanted: its attack is looked at.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        DfrdBenchError: several attacks are wanted, or none was run on all.
    """
    rows = chosen.rows if chosen.teacher is None else (chosen.teacher, *chosen.rows)
    attack = one_attack(wanted, rows, chosen.table)
    average, worst = Column(attack, "average"), Column(attack, "worst_class")
    with styled():
        figure, ((axis,),) = canvas(width=COLUMN if len(rows) <= CROWD else PAGE, height=2.9)
        axis.axline((0, 0), slope=1, color="0.6", linewidth=0.8, linestyle=":", label="every class alike")
        ends = []
        for row in rows:
            x, y = row.cells.get(average), row.cells.get(worst)
            if x is None or y is None or x.mean is None or y.mean is None:
                continue
            left, right = _whiskers(x)
            below, above = _whiskers(y)
            place = 100 * x.mean, 100 * y.mean
            axis.errorbar(
                *place,
                xerr=[[left], [right]],
                yerr=[[below], [above]],
                label=label_of(row),
                **_point(row, chosen),
                clip_on=False,
            )
            ends.append((place[0] - left, place[0] + right, place[1] + above))
        axis.set_xlim(max(0, min(end[0] for end in ends) - ROOM), min(100, max(end[1] for end in ends) + ROOM))
        axis.set_ylim(0, min(100, max(end[2] for end in ends) + 2 * ROOM))
        axis.grid()
        axis.set_xlabel(f"average accuracy under {title_of(attack)} (%)")
        axis.set_ylabel("accuracy of the worst class (%)")
        headline(figure, chosen.title)
        legend_below(figure, axis, 2 if len(rows) <= CROWD else 4)
    return figure


def cost_figure(chosen: Chosen, wanted: Wanted) -> Any:
    """Accuracy under one attack against the time the training took: on average, and of the worst class.

    Times are those of the records, on the machines where the runs were made, averaged over seeds; the axis is logarithmic.

    Args:
        chosen: rows of runs that were trained here.
        wanted: its attack is looked at.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        DfrdBenchError: no record says how long its training took; or several attacks are wanted, or none was run on all.
    """
    rows = [row for row in chosen.rows if minutes_of(row) is not None]
    if not rows:
        raise DfrdBenchError(
            "No record here says how long its training took: there is no time to draw quality against."
        )
    attack = one_attack(wanted, rows, chosen.table)
    with styled():
        figure, (axes,) = canvas(1, 2, width=PAGE, height=2.2, sharex=True)
        for axis, (metric, name) in zip(axes, (("average", "average"), ("worst_class", "worst class")), strict=True):
            column = Column(attack, metric)
            if chosen.teacher is not None and (value := chosen.teacher.cells[column].mean) is not None:
                axis.axhline(100 * value, color="black", linestyle="--", linewidth=1.0, label=label_of(chosen.teacher))
            for row in rows:
                cell = row.cells[column]
                if cell.mean is not None:
                    spread = 100 * (cell.std or 0)
                    style = _point(row, chosen)
                    axis.errorbar(minutes_of(row), 100 * cell.mean, yerr=spread, label=label_of(row), **style)
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter("{x:g}")
            axis.minorticks_off()
            axis.set_title(name)
            axis.set_xlabel("minutes of training")
            percent(axis)
            axis.grid()
        _ticks(axes[0], [found for row in rows if (found := minutes_of(row)) is not None])
        axes[0].set_ylabel(f"accuracy under {title_of(attack)} (%)")
        letters(axes)
        headline(figure, chosen.title)
        legend_below(figure, axes[0])
    return figure


def _ticks(axis: Any, minutes: Sequence[float]) -> None:
    """Round numbers of minutes, from below the quickest to above the slowest."""
    least, most = min(minutes), max(minutes)
    steps = [m * 10.0**k for k in range(-2, 6) for m in (1, 2, 5)]
    inside = [step for step in steps if least / 2 <= step <= most * 2]
    axis.set_xticks(inside)
    axis.set_xlim(min(inside[0], 0.8 * least), max(inside[-1], 1.25 * most))


def _point(row: Row, chosen: Chosen) -> dict[str, Any]:
    """A marker without a line; the teacher's is a black star, and a student's the same in every figure of these rows."""
    if row.kind == "teacher":
        return {"color": TEACHER, "marker": "*", "linestyle": "", "markersize": 8, "elinewidth": 0.8}
    return look(chosen.rows.index(row)) | {"linestyle": "", "markersize": 5, "elinewidth": 0.8}


def _whiskers(cell: Cell) -> tuple[float, float]:
    """How far the interval reaches below and above the mean, in percent; or the spread over seeds, where it is not known."""
    mean, spread = cell.mean or 0.0, 100 * (cell.std or 0.0)
    if cell.interval is None:
        return spread, spread
    return 100 * max(0.0, mean - cell.interval[0]), 100 * max(0.0, cell.interval[1] - mean)
