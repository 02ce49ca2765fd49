"""The numbers behind the charts of accuracy against ε."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean

from dfrd_bench.records.sweeps import SweepPoint, SweepRecord
from dfrd_bench.reporting.site.chart_data import Table, Value
from dfrd_bench.reporting.site.collecting import SiteRun
from dfrd_bench.reporting.tables.comparability import level
from dfrd_bench.reporting.tables.layout import Row, attack_title

Sweeps = dict[str, list[SweepRecord]]
"""Of each row by its name, under one attack."""


def of_rows(rows: Sequence[tuple[str, Row]], runs: Mapping[int, SiteRun]) -> tuple[str, Sweeps]:
    """The attack under which most rows were swept, and these rows' sweeps; "" and nothing where none was.

    Args:
        rows: of a leaderboard, with their names.
        runs: the site's run of each record, by the record's `id`.
    """
    every = {name: [one for record in row.records for one in runs[id(record)].swept.sweeps] for name, row in rows}
    counts = Counter(attack for sweeps in every.values() for attack in {one.attack for one in sweeps})
    if not counts:
        return "", {}
    attack = max(counts, key=lambda name: (counts[name], name == "pgd20", name))
    found = {label: [one for one in sweeps if one.attack == attack] for label, sweeps in every.items()}
    return attack, {label: sweeps for label, sweeps in found.items() if sweeps}


def of_board(sweeps: Sweeps) -> Table:
    """Average and worst class (%) of each row at each ε, mean over its sweeps, up to where nothing is left of any row."""
    every = [one for found in sweeps.values() for one in found]
    rows: list[tuple[Value, ...]] = []
    for eps in sorted({point.eps for one in every for point in one.points}):
        own = any(one.eps == eps for one in every)
        here = {name: [point for one in found if (point := one.at(eps))] for name, found in sweeps.items()}
        rows += [(name, level(eps), own, *_means(points), len(points)) for name, points in here.items() if points]
        if not any(point.average for points in here.values() for point in points):
            break
    return Table(("name", "level", "own", "average", "worst", "seeds"), tuple(rows))


def of_run(sweeps: Sequence[SweepRecord]) -> Table:
    """Average and worst class (%) of one run at each ε, under each attack."""
    rows: list[tuple[Value, ...]] = []
    for sweep in sweeps:
        for point in sweep.points:
            where = (attack_title(sweep.attack), level(point.eps), point.eps == sweep.eps)
            average, worst = _means([point])
            rows += [(*where, "Average", average), (*where, "Worst class", worst)]
    return Table(("attack", "level", "own", "name", "value"), tuple(rows))


def _means(points: Sequence[SweepPoint]) -> tuple[float, float]:
    return (
        round(100 * fmean(point.average for point in points), 2),
        round(100 * fmean(point.worst_class for point in points), 2),
    )
