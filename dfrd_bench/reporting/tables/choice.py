"""Only some columns of a table, by metric or one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dfrd_bench.errors import DfrdBenchError, unknown_name
from dfrd_bench.reporting.tables.comparability import legend
from dfrd_bench.reporting.tables.layout import Column, ResultTable

WORST = ("worst_class", "worst_10")
SHORT = "worst"  # whichever of these a table has


def narrowed(
    table: ResultTable, metrics: Sequence[str] | None = None, columns: Sequence[str] | None = None
) -> ResultTable:
    """The table with only some of its columns; marks and intervals stay what they are.

    Args:
        table: any of `build_tables`.
        metrics: keep these, under every attack, e.g. average, worst, nsd; None: all.
        columns: keep these, in this order (those of one attack side by side), e.g. clean_average, pgd20_worst; None: all.

    Raises:
        DfrdBenchError: the table has no such metric or column, or none would be left.
    """
    if metrics is None and columns is None:
        return table
    kept = table.columns
    if metrics is not None:
        have = [name for column in kept for name in _names(column.metric)]
        for name in metrics:
            if name not in have:
                raise unknown_name("metric of this table", name, list(dict.fromkeys(have)))
        kept = tuple(column for column in kept if set(_names(column.metric)) & set(metrics))
    if columns is not None:
        by_name = {f"{column.attack}_{name}": column for column in kept for name in _names(column.metric)}
        for name in columns:
            if name not in by_name:
                raise unknown_name("column of this table", name, by_name)
        asked = list(dict.fromkeys(by_name[name] for name in columns))
        attacks = list(dict.fromkeys(column.attack for column in asked))
        kept = tuple(sorted(asked, key=lambda column: attacks.index(column.attack)))
    if not kept:
        raise DfrdBenchError("No column is left to show: name at least one metric, e.g. average,worst.")
    shown = replace(table, columns=kept)
    records = [record for row in table.rows for record in row.records]
    return replace(shown, legend=legend(shown, records))


def _names(metric: str) -> tuple[str, ...]:
    return (metric, SHORT) if metric in WORST else (metric,)


def by_attack(columns: Sequence[Column]) -> list[tuple[str, int]]:
    """Each attack, and how many columns it has, in the order of the columns."""
    counts: dict[str, int] = {}
    for column in columns:
        counts[column.attack] = counts.get(column.attack, 0) + 1
    return list(counts.items())
