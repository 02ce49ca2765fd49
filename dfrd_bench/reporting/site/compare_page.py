"""The page that compares any two runs: their numbers, and what was tested beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dfrd_bench.reporting.evidence import Evidence
from dfrd_bench.reporting.site.boards import Board, Step
from dfrd_bench.reporting.site.chart_data import in_order
from dfrd_bench.reporting.site.collecting import SiteRun
from dfrd_bench.reporting.site.pages import Page
from dfrd_bench.reporting.site.pairs import ABOUT, as_arrays, tested_pairs
from dfrd_bench.reporting.tables.layout import METRIC_TITLES, Column, attack_title


def compare_page(
    runs: Sequence[SiteRun], boards: Sequence[Board], by_record: Mapping[int, SiteRun], evidence: Evidence, step: Step
) -> Page:
    """The page, with every pair tested that is to be tested.

    Args:
        runs: of the site, in the order in which they are offered.
        boards: whose current runs are compared with each other.
        by_record: the site's run of each record, by the record's `id`.
        evidence: which images each got right.
        step: told how far it is.
    """
    places = {run.page: place for place, run in enumerate(runs)}
    pairs: list[list[object]] = []
    untested: list[str] = []
    for number, board in enumerate(boards, start=1):
        if board.ranks or len(board.rows) > 1:
            tested, why = tested_pairs(board, by_record, evidence)
            pairs += as_arrays(tested, places)
            untested += [why] if why else []
        step("pairs of runs", number, len(boards))
    columns = _columns(runs)
    begin = _begin(boards, by_record, places)
    return Page(
        "compare",
        "Compare two runs",
        "compare.html",
        {
            "about": ABOUT,
            "untested": untested,
            "groups": _groups(runs, places),
            "data": {
                "columns": [
                    [c.attack, c.metric, f"{attack_title(c.attack)} {c.title}", c.lower_is_better] for c in columns
                ],
                "runs": [_numbers(run, columns) for run in runs],
                "pairs": pairs,
                "begin": begin,
            },
        },
    )


def _begin(boards: Sequence[Board], by_record: Mapping[int, SiteRun], places: Mapping[str, int]) -> list[int]:
    """The two runs that are shown first: of the first leaderboard's best row, and of the best of another method; or none."""
    for board in boards[:1]:
        rows = [row for _, row in board.best_first if row.records]
        for other in rows[1:]:
            if other.method != rows[0].method:
                return [places[by_record[id(row.records[0])].page] for row in (rows[0], other)]
    return []


def _groups(runs: Sequence[SiteRun], places: Mapping[str, int]) -> list[tuple[str, list[tuple[int, str]]]]:
    """Runs to choose from, by dataset, student and track."""
    groups: dict[str, list[tuple[int, str]]] = {}
    for run in runs:
        spec = run.record.spec
        old = ", superseded" if run.superseded else ""
        track = "teachers" if not run.is_student else "with data" if spec.sees != "nothing" else "data-free"
        name = f"{spec.dataset} → {spec.student}, {track}{old}"
        groups.setdefault(name, []).append((places[run.page], f"{run.label} · {spec.digest()}"))
    return sorted(groups.items(), key=lambda group: ("superseded" in group[0], -len(group[1])))


def _columns(runs: Sequence[SiteRun]) -> list[Column]:
    attacks = in_order(attack for run in runs for attack in run.record.evaluation.attacks)
    few = all(run.record.dataset.info.num_classes <= 10 for run in runs)
    metrics = [metric for metric in METRIC_TITLES if not (few and metric == "worst_10")]
    return [Column(attack, metric) for attack in attacks for metric in metrics]


def _numbers(run: SiteRun, columns: Sequence[Column]) -> dict[str, Any]:
    attacks, spec = run.record.evaluation.attacks, run.record.spec
    values = [getattr(attacks[c.attack], c.metric) if c.attack in attacks else None for c in columns]
    return {
        "label": f"{run.label} on {spec.dataset}, {spec.student}",
        "page": run.page,
        "where": run.shown,
        "images": run.record.dataset.test_digest[:16],
        "values": [None if value is None else round(value, 6) for value in values],
    }
