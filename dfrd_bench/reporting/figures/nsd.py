"""The figure of NSD: methods, or pairs of a vanilla and a fair one, against the teacher's line (Fair-ARD's figures 3 and 4)."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from dfrd_bench.reporting.escaping import plain_in_figures
from dfrd_bench.reporting.figures.choice import (
    Chosen,
    label_of,
    shared_attacks,
    title_of,
)
from dfrd_bench.reporting.figures.style import (
    COLUMN,
    PAGE,
    bar_look,
    canvas,
    headline,
    legend_below,
    letters,
    panels,
    styled,
)
from dfrd_bench.reporting.tables.layout import Column, Row, display_name

FAIR = "fair-"  # what a method's name begins with that is another's fair version
TEACHER_LINE = {"color": "black", "linestyle": "--", "linewidth": 1.2}
ACROSS = 3


def nsd_figure(chosen: Chosen) -> Any:
    """Bars of NSD, a panel per attack, and the teacher's NSD as a dashed line; lower is fairer.

    Where the rows hold a method and its fair version (ard and fair-ard), these pairs alone are shown, side by side, as in
    Fair-ARD's figure 3; else every row. A method whose NSD is undefined has no bar. Whiskers: standard deviation over seeds.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        DfrdBenchError: no attack was run on all of them.
    """
    pairs = fair_pairs(chosen.rows)
    shown = [row for pair in pairs for row in pair] if pairs else [*chosen.rows]
    everyone = shown if chosen.teacher is None else [chosen.teacher, *shown]
    attacks = shared_attacks(everyone, chosen.table)
    with styled():
        across = min(ACROSS, len(attacks))
        down = -(-len(attacks) // across)
        figure, grid = canvas(down, across, width=PAGE if across > 1 else COLUMN, height=1.9 * down + 0.3)
        axes, empty = panels(grid, len(attacks))
        for axis, attack in zip(axes, attacks, strict=True):
            column = Column(attack, "nsd")
            if pairs:
                _pair_bars(axis, pairs, column)
            else:
                for place, row in enumerate(shown):
                    _bar(axis, place, row, column, place, label_of(row), width=0.8)
                axis.set_xticks([])
            if chosen.teacher is not None and (value := chosen.teacher.cells[column].mean) is not None:
                axis.axhline(value, label=label_of(chosen.teacher), **TEACHER_LINE)
            axis.set_title(title_of(attack))
            axis.set_ylim(bottom=0)
            axis.grid(axis="y")
        for axis in grid[:, 0]:
            axis.set_ylabel("NSD (lower is fairer)")
        letters(axes)
        headline(figure, chosen.title)
        legend_below(figure, axes[0], inside=empty)
    return figure


def fair_pairs(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """A method and its fair version, where both are there with the same variant, in the rows' order."""
    named = {(row.method, row.variant): row for row in rows}
    fair = ((row, named.get((FAIR + row.method, row.variant))) for row in rows)
    return [(row, other) for row, other in fair if other is not None]


def _pair_bars(axis: Any, pairs: Sequence[tuple[Row, Row]], column: Column) -> None:
    for place, pair in enumerate(pairs):
        for side, (row, name) in enumerate(zip(pair, ("vanilla", "fair"), strict=True)):
            _bar(axis, place + 0.4 * (side - 0.5), row, column, side, name if place == 0 else None, width=0.36)
    names = [plain_in_figures(display_name(vanilla.method)) for vanilla, _ in pairs]
    axis.set_xticks(range(len(pairs)), names, rotation=0 if fmean(map(len, names)) < 6 else 30)


def _bar(axis: Any, place: float, row: Row, column: Column, number: int, label: str | None, *, width: float) -> None:
    cell = row.cells[column]
    axis.bar(place, cell.mean or 0, width=width, label=label, **bar_look(number))
    if cell.std is not None:
        axis.errorbar(place, cell.mean, yerr=cell.std, color="black", linewidth=0.8)
