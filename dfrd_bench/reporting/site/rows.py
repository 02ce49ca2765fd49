"""Rows as a page shows them: cells with their marks and hover texts, badges with theirs, links to runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dfrd_bench.records.schema import Record
from dfrd_bench.reporting.codes import beside_todays
from dfrd_bench.reporting.site.boards import Board, minutes
from dfrd_bench.reporting.site.collecting import SiteRun
from dfrd_bench.reporting.tables.comparability import SUPERSEDED
from dfrd_bench.reporting.tables.contested import said_of
from dfrd_bench.reporting.tables.flattered import why_flattered
from dfrd_bench.reporting.tables.layout import CONTESTED, OTHER_CODE, TIED, Cell, Column, Row, attack_title
from dfrd_bench.reporting.tables.naming import with_short_numbers

LAST = -1e9  # where a sorted column puts what has no number
SHORT = ("clean_average", "pgd20_average", "autoattack_average", "autoattack_worst_class")
MARKS = {"best": "best of its column", "tied": "tied with the best of its column", "second": "next after the best"}


@dataclass(frozen=True)
class Badge:
    """A short word on a row, and the sentence behind it."""

    kind: str
    text: str
    why: str


@dataclass(frozen=True)
class CellView:
    """One number: as printed, its spread over seeds, its interval, its mark with what that means, and by what it is sorted."""

    text: str
    spread: str
    interval: str
    mark: str
    sign: str
    meaning: str
    order: float


@dataclass(frozen=True)
class RowView:
    """One row of a leaderboard."""

    label: str
    kind: str
    method: str
    badges: tuple[Badge, ...]
    runs: tuple[tuple[int, str], ...]
    cells: tuple[CellView, ...]
    rank: int | None
    share: float | None
    minutes: float | None


@dataclass(frozen=True)
class RunView:
    """One run in a list of runs; numbers under the names of `SHORT`, None where not run."""

    run: SiteRun
    method: str
    badges: tuple[Badge, ...]
    numbers: tuple[float | None, ...]
    minutes: float | None


def row_view(
    row: Row, columns: Sequence[Column], runs: Mapping[int, SiteRun], board: Board | None, place: int
) -> RowView:
    """A row of a table.

    Args:
        row: which.
        columns: of the table.
        runs: the site's run of each record, by the record's `id`.
        board: where its rank is; None for a table whose rows are not ranked.
        place: of the row on the board.
    """
    count = None if board is None else board.ranks.get(place)
    own = [runs[id(record)] for record in row.records]
    return RowView(
        label=with_short_numbers(row.label),
        kind=row.kind,
        method=row.method if row.kind == "student" else "",
        badges=badges(row.records, row.flattered, row.best_known),
        runs=tuple((run.record.spec.seed, run.page) for run in own),
        cells=tuple(_cell(row.cells[column], column) for column in columns),
        rank=count.rank if count else None,
        share=count.share if count else None,
        minutes=minutes(row),
    )


def run_view(run: SiteRun) -> RunView:
    """A run for a list."""
    attacks, training, known = run.record.evaluation.attacks, run.record.training, run.known
    numbers: list[float | None] = []
    for name in SHORT:
        attack, _, metric = name.partition("_")
        numbers.append(100 * getattr(attacks[attack], metric) if attack in attacks else None)
    return RunView(
        run,
        run.record.spec.method if run.is_student else "",
        badges([run.record], why_flattered([run.record]), known.accuracy if known and known.lowered else None),
        tuple(numbers),
        None if training is None else training.seconds / 60,
    )


def short_headings() -> list[str]:
    """What the numbers of a `RunView` are."""
    found = []
    for name in SHORT:
        attack, _, metric = name.partition("_")
        found.append(f"{attack_title(attack)} {'avg.' if metric == 'average' else 'worst'} %")
    return found


def badges(records: Sequence[Record], flattered: str, best_known: float | None) -> tuple[Badge, ...]:
    """What to beware of in some runs of one row.

    Args:
        records: theirs.
        flattered: why gradient attacks flatter them; "" where they do not.
        best_known: what everybody's attacks leave of them, a mean over seeds; None where others broke no more.
    """
    found = []
    if not records:
        return ()
    spec = records[0].spec
    if spec.kind == "teacher":
        found.append(Badge("teacher", "teacher", "The teacher itself: it is not ranked among its students."))
    elif spec.provider in SUPERSEDED:
        found.append(Badge("old", "superseded", f"By {spec.provider}, {SUPERSEDED[spec.provider]}."))
    if flattered:
        found.append(Badge("flattered", "flattered ‡", f"Gradient attacks flatter this row: {flattered}."))
    if best_known is not None:
        said = said_of(best_known, records)
        why = f"Others attacked the same weights and broke more images. Best known robust accuracy (%): {said}."
        found.append(Badge("contested", f"contested {CONTESTED}", why))
    if code := beside_todays(spec):
        found.append(Badge("code", f"other code {OTHER_CODE}", f"Not by today's code of its method: {code}."))
    if own := list(dict.fromkeys(text for record in records for text in record.warnings)):
        word = "warning" if len(own) == 1 else "warnings"
        found.append(Badge("warning", f"{len(own)} {word}", " ".join(own)))
    return tuple(found)


def _cell(cell: Cell, column: Column) -> CellView:
    mark = cell.mark or ""
    return CellView(
        text=cell.text,
        spread=f"± {cell.spread}" if cell.spread else "",
        interval="" if cell.interval is None else column.show_interval(*cell.interval),
        mark=mark,
        sign=TIED if mark == "tied" else "",
        meaning=MARKS.get(mark, ""),
        order=LAST if cell.mean is None else cell.mean,
    )
