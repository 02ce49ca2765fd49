"""Which cells of a table are best, tied with the best, or next, and the sentence that says what that means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dfrd_bench.evaluation.paired import PairedBootstrap
from dfrd_bench.evaluation.significance import LEVEL
from dfrd_bench.reporting.tables.layout import TIED, Cell, Column, Mark, ResultTable, Row

CANNOT_TELL = f"the test images cannot tell from it (paired bootstrap on the same images, level {LEVEL})"
PRINTED = "Best per student in BEST, second best SECOND; by the printed value, without a significance test."
TESTED = (
    f"Best per student in BEST if it differs significantly from every other value; TIED: the best and all that {CANNOT_TELL}. "
    "Best of the rest SECOND."
)
UNSEEN = f"{TIED}: the best per student and all that {CANNOT_TELL}."

Tests = Mapping[str, PairedBootstrap[int]]
"""Attack -> bootstrap of all rows that compete under it, by their place in the group."""


def competitors(rows: Sequence[Row], column: Column) -> list[int]:
    """The places of the rows that can win a column: students with a number; teachers do not compete."""
    return [place for place, row in enumerate(rows) if row.kind == "student" and row.cells[column].mean is not None]


def marked(rows: Sequence[Row], columns: Sequence[Column], tests: Tests) -> tuple[Row, ...]:
    """The rows with marks in every column that at least two of them compete in, unless all of them print the same.

    Where there is a test, every value that does not differ significantly from the best one is tied with it, and not only
    the runner-up: a mark that one row lacks says that a test has told it from the best. Without a test, marks go by the
    printed value.
    """
    cells = [dict(row.cells) for row in rows]
    for column in columns:
        places = competitors(rows, column)
        if len(places) < 2:
            continue
        for place, mark in _marks(rows, places, column, tests).items():
            cells[place][column] = replace(cells[place][column], mark=mark)
        if column.attack in tests:
            best = _best(rows, places, column)
            for place in places:
                p = None if place == best else tests[column.attack].difference(best, place, column.metric).p
                cells[place][column] = replace(cells[place][column], p=p)
    return tuple(replace(row, cells=own) for row, own in zip(rows, cells, strict=True))


def _marks(rows: Sequence[Row], places: Sequence[int], column: Column, tests: Tests) -> dict[int, Mark]:
    """Place -> mark, of the rows in `places`."""
    printed = {place: float(rows[place].cells[column].text) for place in places}
    ranking = sorted(set(printed.values()), reverse=not column.lower_is_better)
    if len(ranking) == 1:  # as the worst class under AutoAttack, of which often nothing is left in any row
        return {}
    if column.attack not in tests:
        names: tuple[Mark, ...] = ("best", "second")
        return {place: names[ranking.index(value)] for place, value in printed.items() if value in ranking[:2]}
    best = _best(rows, places, column)

    def ties(place: int) -> bool:
        told_apart = tests[column.attack].difference(best, place, column.metric).direction
        return printed[place] == printed[best] or not told_apart

    top = {place for place in places if ties(place)}
    rest = [value for value in ranking if value in {printed[place] for place in places if place not in top}]
    marks: dict[int, Mark] = dict.fromkeys(top, "tied" if len(top) > 1 else "best")
    return marks | {p: "second" for p in places if p not in top and printed[p] == rest[0]}


def _best(rows: Sequence[Row], places: Sequence[int], column: Column) -> int:
    """The place of the row whose value, as it is and not as printed, is best."""
    return max(places, key=lambda place: _merit(rows[place].cells[column], column))


def _merit(cell: Cell, column: Column) -> float:
    mean = cell.mean or 0.0
    return -mean if column.lower_is_better else mean


def sentence(table: ResultTable) -> str:
    """What the marks of a table mean, with BEST, TIED and SECOND where a format shows how it marks; "" without marks."""
    if not any(_marks_shown(table)):
        return ""
    return TESTED if table.tested else PRINTED


def sentence_for_plain_text(table: ResultTable) -> str:
    """The same where only the sign of a tie can be seen; "" without ties."""
    return UNSEEN if "tied" in _marks_shown(table) else ""


def _marks_shown(table: ResultTable) -> set[Mark | None]:
    return {row.cells[column].mark for row in table.rows for column in table.columns}
