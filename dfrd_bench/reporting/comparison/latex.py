"""Writes a matrix of differences for a paper: a table per attack, cut where it is wider than there is room for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dfrd_bench.reporting.comparison.cells import grid_of, headers_of
from dfrd_bench.reporting.comparison.matrix import Matrix
from dfrd_bench.reporting.escaping import escape_latex
from dfrd_bench.reporting.paper import SEPARATION, SIZES, Float, Paper, floats, line_of, text_width
from dfrd_bench.reporting.tables.layout import Column, attack_title

NAMES = 2  # columns that every part has: the row and its mean


def to_latex(matrix: Matrix, paper: Paper | None = None) -> str:
    """Booktabs tables to be input by a document: one for each attack, with the metrics below each other.

    Where all columns are wider than there is room for, in 7 points, a table becomes several, each with some of the rows that the
    others are compared with. What the numbers mean stands with the last.
    """
    paper = paper or Paper()
    titles: list[str] = []
    names: list[str] = []
    tabulars: list[list[str]] = []
    sizes: list[str] = []
    for attack in dict.fromkeys(column.attack for column in matrix.means):
        columns = [column for column in matrix.means if column.attack == attack]
        parts, size = _fitted(matrix, columns, paper.width)
        first = 0 if paper.label is None else len(names)
        names += [paper.name(_own_name(matrix, attack), first + number) for number in range(len(parts))]
        titles += [f"{attack_title(attack)} on {matrix.dataset}: every row minus those above it"] * len(parts)
        tabulars += [[*_tabular(matrix, columns, shown)] for shown in parts]
        sizes.append(size)
    smallest = max(sizes, key=[size for size, _ in SIZES].index)
    content = Float(titles, names, tabulars, smallest, [*map(escape_latex, _said(matrix))])
    return "\n".join([paper.preamble, *floats(content, paper)]) + "\n"


def _said(matrix: Matrix) -> Iterator[str]:
    yield from (matrix.head, *matrix.notes)
    yield from (f"Warning. {text}" for text in matrix.warnings)


def _fitted(matrix: Matrix, columns: Sequence[Column], width: float) -> tuple[list[range], str]:
    """Which columns of the grid stand in each part, and the type's size: the largest, and the fewest parts, that fit."""
    names, mean, *rest = [max(map(text_width, cells)) for cells in _by_column(matrix, columns)]

    def fits(shown: range, points: float) -> bool:
        widths = [names, mean, *(rest[k - NAMES] for k in shown)]
        return sum(widths) * points + 2 * SEPARATION * len(widths) <= width

    everything = range(NAMES, NAMES + len(rest))
    for size, points in SIZES:
        if fits(everything, points):
            return [everything], size
    size, points = SIZES[-1]
    for count in range(2, len(rest) + 1):
        step = -(-len(rest) // count)
        parts = [everything[at : at + step] for at in range(0, len(rest), step)]
        if all(fits(part, points) for part in parts):
            return parts, size
    return [everything[at : at + 1] for at in range(len(rest))], size


def _by_column(matrix: Matrix, columns: Sequence[Column]) -> Iterator[list[str]]:
    """Every text of each column of the grid, over all metrics."""
    lines = [line for column in columns for line in (headers_of(matrix, column), *grid_of(matrix, column))]
    for k in range(len(matrix.rows) + 1):
        yield [line[k] for line in lines if k < len(line)]


def _tabular(matrix: Matrix, columns: Sequence[Column], shown: range) -> Iterator[str]:
    yield rf"\begin{{tabular}}{{l{'r' * (len(shown) + 1)}}}"
    yield r"  \toprule"
    for column in columns:
        yield from [r"  \midrule"] if column != columns[0] else []
        title, mean, *others = headers_of(matrix, column)
        yield f"  {line_of([escape_latex(text) for text in (title, mean, *(others[k - NAMES] for k in shown))])}"
        yield r"  \midrule"
        for line in grid_of(matrix, column):
            cells = [line[k] if k < len(line) else "" for k in shown]
            if (
                any(cells) or shown.start == NAMES
            ):  # what goes on leaves rows out that are compared with none of its columns
                yield f"  {line_of([escape_latex(text) for text in (*line[:NAMES], *cells)])}"
    yield r"  \bottomrule"
    yield r"\end{tabular}"


def _own_name(matrix: Matrix, attack: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", f"{matrix.dataset}-differences-{attack}".lower())
