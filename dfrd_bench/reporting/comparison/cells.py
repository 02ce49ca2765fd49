"""A matrix of differences as lines of cells, for the formats that print it."""

from __future__ import annotations

from collections.abc import Iterator

from dfrd_bench.reporting.comparison.matrix import Matrix, Pair
from dfrd_bench.reporting.comparison.text import signed
from dfrd_bench.reporting.tables.layout import UNDEFINED, Column, attack_title


def grid_of(matrix: Matrix, column: Column) -> Iterator[list[str]]:
    """A line per row: its name, its mean, and its difference to each row before it."""
    pairs = {(pair.first, pair.second): pair for pair in matrix.pairs if pair.column == column}
    for place, name in enumerate(matrix.marked_rows):
        mean = matrix.means[column][place]
        before = [_shown(pairs[other, place]) for other in range(place)]
        yield [f"{place + 1} {name}", UNDEFINED if mean is None else column.show(mean), *before]


def headers_of(matrix: Matrix, column: Column) -> list[str]:
    """What stands above a grid: the number that is compared, the mean, and the rows' numbers."""
    return [f"{attack_title(column.attack)} {column.title}", "mean", *map(str, range(1, len(matrix.rows)))]


def _shown(pair: Pair) -> str:
    """Row minus column, that is, the later minus the earlier, with its mark."""
    value = pair.difference.value
    return UNDEFINED if value is None else signed(pair.column, -value) + pair.mark
