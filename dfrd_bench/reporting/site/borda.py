"""Borda's count: one rank for each row of a leaderboard, from its places in many columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dfrd_bench.reporting.tables.layout import Column, Row

NO_ATTACK = "clean"
ABOUT = (
    "Rank (Borda): in every column under an attack that all ranked rows ran, a row gets a point for each row that it beats and "
    "half a point for each with the same printed value; the rank is by the sum, shown as a share of all points to be had. Clean "
    "accuracy is no attack and does not count. An undefined NSD is beaten by every number."
)


@dataclass(frozen=True)
class Count:
    """What a row got.

    Attributes:
        rank: 1 for most points; rows with equally many share the better one.
        share: of all points that were to be had, 0 … 1.
    """

    rank: int
    share: float


def borda(rows: Sequence[Row], columns: Sequence[Column]) -> dict[int, Count]:
    """The count of every student among some rows, by its place; empty where fewer than two compete.

    Args:
        rows: of one group; teachers do not compete.
        columns: of the table. Those under no attack, and those that not all competing rows ran, do not count.
    """
    places = [place for place, row in enumerate(rows) if row.kind == "student" and _ran_something(row)]
    scored = [
        column
        for column in columns
        if column.attack != NO_ATTACK and all(_ran(rows[place], column) for place in places)
    ]
    if len(places) < 2 or not scored:
        return {}
    points = dict.fromkeys(places, 0.0)
    for column in scored:
        merits = {place: _merit(rows[place], column) for place in places}
        for place, merit in merits.items():
            points[place] += sum(merit > other for other in merits.values())
            points[place] += (sum(merit == other for other in merits.values()) - 1) / 2
    return _ranked(points, (len(places) - 1) * len(scored))


def _ranked(points: Mapping[int, float], most: int) -> dict[int, Count]:
    return {
        place: Count(1 + sum(other > mine for other in points.values()), mine / most) for place, mine in points.items()
    }


def _ran(row: Row, column: Column) -> bool:
    """Whether the attack was run; a metric may be undefined all the same."""
    return any(column.attack in record.evaluation.attacks for record in row.records)


def _ran_something(row: Row) -> bool:
    return any(set(record.evaluation.attacks) - {NO_ATTACK} for record in row.records)


def _merit(row: Row, column: Column) -> float:
    """Larger is better: the value as printed, so that what looks equal is equal."""
    cell = row.cells[column]
    if cell.mean is None:
        return float("-inf")
    return -float(cell.text) if column.lower_is_better else float(cell.text)
