"""Puts a table's uncertainty where it belongs: intervals into cells, and significance tests between rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.reporting.evidence import Evidence, Run, bootstrap_rows
from dfrd_bench.reporting.tables.layout import Column, Row, attack_title
from dfrd_bench.reporting.tables.marks import Tests, competitors

NO_EVIDENCE = "no predictions were given."


def tests_between(
    rows: Sequence[tuple[Row, list[Run]]], columns: Sequence[Column], student: str, evidence: Evidence | None
) -> tuple[Tests, list[str]]:
    """A paired bootstrap per attack over the rows of one group that compete under it.

    Returns:
        The tests by attack, without those that cannot be made, and a note that says which these are and why. No evidence
        at all needs no note.
    """
    if evidence is None:
        return {}, []
    tests, impossible = {}, {}
    for attack in dict.fromkeys(column.attack for column in columns):
        mine = [column for column in columns if column.attack == attack]
        places = sorted({place for column in mine for place in competitors([row for row, _ in rows], column)})
        if len(places) < 2:
            continue
        try:
            tests[attack] = bootstrap_rows({place: rows[place][1] for place in places}, attack, evidence)
        except DfrdBenchError as error:
            impossible[attack_title(attack)] = str(error)
    return tests, [
        f"Marks among the students {student} go by the printed value, without a significance test, under "
        f"{', '.join(title for title, why in impossible.items() if why == reason)}: {reason}"
        for reason in dict.fromkeys(impossible.values())
    ]


def with_intervals(
    rows: Sequence[tuple[Row, list[Run]]], columns: Sequence[Column], tests: Tests, evidence: Evidence | None
) -> tuple[list[Row], list[str]]:
    """The rows with the 95% interval of every cell in place of its spread over seeds.

    A single seed has the interval of its record; several have that of their mean, from resampling the images for all of them.

    Args:
        rows: of one group, with their runs.
        columns: of the table.
        tests: from `tests_between`, whose resamples serve here too.
        evidence: for rows that are not in them.

    Returns:
        The rows, and a note for each that has to keep its spread, with the reason.
    """
    changed, notes = [], []
    for place, (row, runs) in enumerate(rows):
        cells, reasons = dict(row.cells), []
        for column in columns:
            if cells[column].mean is None:
                continue
            try:
                cells[column] = replace(cells[column], interval=_interval(place, runs, column, tests, evidence))
            except DfrdBenchError as error:
                reasons.append(str(error))
        changed.append(replace(row, cells=cells))
        if reasons:
            notes.append(f"{row.label} keeps its ± over seeds, as its interval is not known: {reasons[0]}")
    return changed, notes


def _interval(
    place: int, runs: Sequence[Run], column: Column, tests: Tests, evidence: Evidence | None
) -> tuple[float, float] | None:
    """The interval of one row's cell; None where it is undefined.

    Raises:
        DfrdBenchError: it needs predictions that are not there.
    """
    attack, metric = column.attack, column.metric
    results = [record.evaluation.attacks[attack] for _, record in runs if attack in record.evaluation.attacks]
    if len(results) == 1:
        return results[0].intervals.get(metric)
    if attack in tests and place in tests[attack]:
        return tests[attack].interval(place, metric)
    if evidence is None:
        raise DfrdBenchError(NO_EVIDENCE)
    return bootstrap_rows({place: runs}, attack, evidence).interval(place, metric)
