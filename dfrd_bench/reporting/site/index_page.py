"""The first page: what is believed and what is left out, and a card for every leaderboard; and the list of all runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dfrd_bench.reporting.site.boards import Board
from dfrd_bench.reporting.site.collecting import SiteRun
from dfrd_bench.reporting.site.names import spelled
from dfrd_bench.reporting.site.pages import Page
from dfrd_bench.reporting.site.rows import run_view, short_headings
from dfrd_bench.reporting.tables.comparability import SUPERSEDED
from dfrd_bench.reporting.tables.layout import Column

SHOWN = 8


@dataclass(frozen=True)
class Bar:
    """A row on a card: average and worst class in percent, and whether it is the teacher."""

    label: str
    average: float
    worst: float
    teacher: bool


@dataclass(frozen=True)
class Card:
    """A leaderboard in brief."""

    board: Board
    bars: tuple[Bar, ...]
    more: int
    methods: int
    runs: int
    attack: str


def index_page(title: str, boards: Sequence[Board], runs: Sequence[SiteRun], left_out: Sequence[str]) -> Page:
    """The first page.

    Args:
        title: of the site.
        boards: its leaderboards.
        runs: all that it shows.
        left_out: a sentence for each record that it does not show.
    """
    students = [run for run in runs if run.is_student]
    cards = [_card(board) for board in boards]
    return Page(
        "index",
        title,
        "index.html",
        {
            "heading": title,
            "cards": [card for card in cards if card.board.ranks or not _is_old(card.board)],
            "old_cards": [card for card in cards if not card.board.ranks and _is_old(card.board)],
            "left_out": left_out,
            "records": len(runs),
            "superseded": sum(bool(run.superseded) for run in runs),
            "methods": len({run.record.spec.method for run in students}),
            "datasets": len({run.record.spec.dataset for run in runs}),
        },
    )


def runs_page(runs: Sequence[SiteRun]) -> Page:
    """The list of all runs, current ones first."""
    views = [run_view(run) for run in sorted(runs, key=lambda run: bool(run.superseded))]
    return Page("runs", "All runs", "runs.html", {"views": views, "numbers": short_headings()})


def methods_page(pages: Sequence[Page]) -> Page:
    """The list of all methods.

    Args:
        pages: of the methods.
    """
    return Page("methods", "Methods", "methods.html", {"pages": pages})


def _card(board: Board) -> Card:
    average, worst = Column(board.headline, "average"), Column(board.headline, board.worst)
    bars: dict[tuple[str, str], Bar] = {}  # of each method the first, which is its best
    for name, row in board.named_rows:
        x, y = row.cells[average].mean, row.cells[worst].mean
        if x is not None and y is not None:
            bars.setdefault((row.kind, row.method), Bar(name, 100 * x, 100 * y, row.kind == "teacher"))
    shown = list(bars.values())[: SHOWN + sum(bar.teacher for bar in bars.values())]
    students = [row for _, row in board.students]
    return Card(
        board,
        tuple(shown),
        len(students) - sum(not bar.teacher for bar in shown),
        len({row.method for row in students}),
        sum(len(row.records) for row in students),
        spelled(board.headline),
    )


def _is_old(board: Board) -> bool:
    """Whether it has superseded runs only."""
    return all(record.spec.provider in SUPERSEDED for _, row in board.students for record in row.records)
