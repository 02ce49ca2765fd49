"""What rows are called where a table has several students, and where there is little room."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from dfrd_bench.reporting.tables.layout import Group, Row

LONG_NUMBER = re.compile(r"\d+\.\d{5,}")
VARIANT = re.compile(r" \([^()]*\)$")


def with_short_numbers(label: str) -> str:
    """A row's label with four digits of its long numbers, e.g. 0.8333 of 0.8333333333333334."""
    return LONG_NUMBER.sub(lambda found: f"{float(found[0]):.4g}", label)


def named_rows(groups: Sequence[Group]) -> Iterator[tuple[str, Row]]:
    """Each row with its label, and with its student where there are several."""
    for group in groups:
        for row in group.rows:
            several = len(groups) > 1 and row.kind == "student"
            yield f"{row.label} on {group.student}" if several else row.label, row


def shared_variant(rows: Sequence[Row]) -> str:
    """What all students, two at least, have in parentheses behind their names, e.g. "quick+epochs=10"; else ""."""
    labels = [row.label for row in rows if row.kind == "student"]
    endings = {found[0] if (found := VARIANT.search(label)) else "" for label in labels}
    return endings.pop()[2:-1] if len(labels) > 1 and len(endings) == 1 and "" not in endings else ""


def without_variant(row: Row, shared: str) -> Row:
    """A row that is called as before, but for what all share."""
    return replace(row, label=row.label.removesuffix(f" ({shared})")) if shared and row.kind == "student" else row
