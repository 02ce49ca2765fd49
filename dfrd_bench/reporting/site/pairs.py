"""Which differences between the runs of a leaderboard are more than chance, worked out before anybody asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.correctness import Correctness
from dfrd_bench.evaluation.paired import Difference, PairedBootstrap
from dfrd_bench.evaluation.significance import holm
from dfrd_bench.reporting.evidence import Evidence
from dfrd_bench.reporting.site.boards import Board
from dfrd_bench.reporting.site.collecting import SiteRun
from dfrd_bench.reporting.tables.layout import Column

MOST_PAIRS = 800  # of 40 runs
RESAMPLES = 10_000  # as many as `dfrd-bench compare` draws
ABOUT = (
    f"Tested beforehand are every two runs of a leaderboard that has at most {MOST_PAIRS} such pairs, and of a larger one the "
    "first runs of its first rows, as many as have no more: paired bootstrap over the same test images, "
    f"{RESAMPLES:,} resamples, p after Holm over all the numbers of the two. Of any other two runs the numbers and their "
    "differences are shown, untested; the command tests them, if they were tested on the same images."
)


@dataclass(frozen=True)
class Tested:
    """One number of two runs, the first minus the second."""

    column: Column
    difference: Difference
    holm: float | None


def tested_pairs(
    board: Board, runs: Mapping[int, SiteRun], evidence: Evidence
) -> tuple[dict[tuple[str, str], list[Tested]], str]:
    """Every two current runs of a board, compared; of one with too many pairs the first runs of its best rows, as many
    as have no more pairs than that.

    Args:
        board: whose rows' records are compared; the teacher's too.
        runs: the site's run of each record, by the record's `id`.
        evidence: which images each got right.

    Returns:
        What was tested, by the pages of the two, and what was not and why; "" where all was.
    """
    members, left = [runs[id(record)] for row in board.rows for record in row.records], ""
    if comb(len(members), 2) > MOST_PAIRS:
        left = f"{board.title}, {board.key[3]}, has {comb(len(members), 2):,} pairs of runs, more than {MOST_PAIRS}"
        members = [runs[id(row.records[0])] for _, row in board.named_rows if row.records]
        several = len(members)
        while comb(len(members), 2) > MOST_PAIRS:
            members.pop()
        which = "each row" if len(members) == several else f"the first {len(members)} of {several} rows"
        left += f"; of these all but those of the first run of {which}"
    try:
        known = [evidence((run.where, run.record)) for run in members]
    except DfrdBenchError:
        return {}, f"not every run of {board.title} has kept its predictions"
    if not all(one.same_images(known[0]) for one in known):
        return {}, f"the runs of {board.title} were not tested on the same images"
    return _compared(members, known, board.table.columns), left


def _compared(
    members: Sequence[SiteRun], known: Sequence[Correctness], columns: Sequence[Column]
) -> dict[tuple[str, str], list[Tested]]:
    found: dict[tuple[str, str], list[tuple[Column, Difference]]] = {}
    for attack in dict.fromkeys(column.attack for column in columns):
        right = {place: one.right[attack][:, None] for place, one in enumerate(known) if attack in one.right}
        if len(right) < 2:
            continue
        bootstrap = PairedBootstrap(right, known[0].labels, resamples=RESAMPLES)
        for first, second in combinations(right, 2):
            pair = found.setdefault((members[first].page, members[second].page), [])
            pair += [(c, bootstrap.difference(first, second, c.metric)) for c in columns if c.attack == attack]
    return {pages: _corrected(pair) for pages, pair in found.items()}


def _corrected(pair: Sequence[tuple[Column, Difference]]) -> list[Tested]:
    """With Holm's p-values over all that could be tested of the two."""
    adjusted = iter(holm([difference.p for _, difference in pair if difference.p is not None]))
    return [Tested(column, difference, None if difference.p is None else next(adjusted)) for column, difference in pair]


def as_arrays(pairs: Mapping[tuple[str, str], Sequence[Tested]], places: Mapping[str, int]) -> list[list[object]]:
    """For a script: [first, second, attack, metric, low, high, p, Holm's p] by the runs' places; rounded, as they are shown.

    Args:
        pairs: see `tested_pairs`.
        places: of each run, by its page, in the script's list of runs.
    """
    return [
        [
            *(places[page] for page in pages),
            *(one.column.attack, one.column.metric),
            *((None, None) if one.difference.interval is None else map(_short, one.difference.interval)),
            _short(one.difference.p),
            _short(one.holm),
        ]
        for pages, tested in pairs.items()
        for one in tested
    ]


def _short(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 5)
