"""Which rows somebody else's attacks have lowered, and the line below a table that says how far."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from dfrd_bench.evaluation.best_known import BestKnown, best_known
from dfrd_bench.records.schema import Record
from dfrd_bench.reporting.evidence import Run
from dfrd_bench.reporting.tables.layout import CONTESTED, ResultTable, Row
from dfrd_bench.reporting.tables.naming import named_rows

Found = Mapping[tuple[str, str], BestKnown]
"""By network and test images (both sha256) of a run: what is known of it, where it was contested."""


def contests_of(runs: Sequence[Run]) -> Found:
    """What is known of those of some runs that have contests beside their records; others have no entry."""
    return contested((record, best_known(Path(where), record)) for where, record in runs)


def contested(known: Iterable[tuple[Record, BestKnown]]) -> Found:
    """The same of records of which it is known already what everybody's attacks leave."""
    return {_key(record): best for record, best in known if best.contests or best.doubted}


def with_contests(table: ResultTable, found: Found) -> ResultTable:
    """A table whose contested rows say what is left of them, with a line below it about that; doubted contests get a note."""
    groups = tuple(replace(group, rows=tuple(_marked(row, found) for row in group.rows)) for group in table.groups)
    marked = replace(table, groups=groups)
    records = [record for row in marked.rows for record in row.records]
    doubts = dict.fromkeys(text for record in records if (best := found.get(_key(record))) for text in best.doubted)
    line = about_contested(marked)
    return replace(
        marked,
        legend=(*table.legend, *([line] if line else [])),
        notes=(*table.notes, *(f"A contest is left out: {text}" for text in doubts)),
    )


def about_contested(table: ResultTable) -> str:
    """The line that says what the mark on a row means; "" where no row has it."""
    lines = {name: row for name, row in named_rows(table.groups) if row.best_known is not None}
    if not lines:
        return ""
    parts = "; ".join(f"{name}: {said_of(row.best_known or 0, row.records)}" for name, row in lines.items())
    return (
        f"{CONTESTED} Contested: others attacked the same weights and broke more images. Best known robust accuracy, the share "
        f"(%) that survives every attack of the run and of its contests: {parts}."
    )


def said_of(best: float, records: Sequence[Record]) -> str:
    """Best known robust accuracy (%), and beside it that of the runs alone, means over some records."""
    own = fmean(record.evaluation.worst_case for record in records)
    return f"{100 * best:.2f} (of the run alone {100 * own:.2f})"


def _marked(row: Row, found: Found) -> Row:
    """The row with its best known robust accuracy, a mean over its seeds, where somebody lowered that of one."""
    known = [*_known(row.records, found)]
    if not any(best is not None and best.lowered for best in known):
        return row
    pairs = zip(row.records, known, strict=True)
    return replace(row, best_known=fmean(b.accuracy if b else r.evaluation.worst_case for r, b in pairs))


def _known(records: Sequence[Record], found: Found) -> Iterator[BestKnown | None]:
    return (found.get(_key(record)) for record in records)


def _key(record: Record) -> tuple[str, str]:
    return record.weights_sha256, record.dataset.test_digest
