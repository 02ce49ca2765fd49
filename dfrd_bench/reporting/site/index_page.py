"""The first page: what is believed and what is left out, and a card for every leaderboard; and the list of all runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dfrd_bench.reporting.site.boards import Board
from dfrd_bench.reporting.site.collecting import SiteRun
from dfrd_bench.reporting.site.pages import Page
from dfrd_bench.reporting.site.rows import run_view, short_headings
from dfrd_bench.reporting.tables.comparability import SUPERSEDED
from dfrd_bench.reporting.tables.layout import Column, attack_title

SHOWN = 6


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
    teachers = [row for row in board.rows if row.kind == "teacher"]
    ordered = [*teachers, *(row for _, row in board.best_first)]
    bars = [
        Bar(row.label, 100 * x, 100 * y, row.kind == "teacher")
        for row in ordered
        if (x := row.cells[average].mean) is not None and (y := row.cells[worst].mean) is not None
    ]
    shown = bars[: SHOWN + len(teachers)]
    students = [row for _, row in board.students]
    return Card(
        board,
        tuple(shown),
        len(bars) - len(shown),
        len({row.method for row in students}),
        sum(len(row.records) for row in students),
        attack_title(board.headline),
    )


def _is_old(board: Board) -> bool:
    """Whether it has superseded runs only."""
    return all(record.spec.provider in SUPERSEDED for _, row in board.students for record in row.records)
