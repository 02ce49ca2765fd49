"""What rows are called where a table has several students, and where there is little room."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dfrd_bench.reporting.tables.layout import Group, Row

LONG_NUMBER = re.compile(r"\d+\.\d{5,}")


def with_short_numbers(label: str) -> str:
    """A row's label with four digits of its long numbers, e.g. 0.8333 of 0.8333333333333334."""
    return LONG_NUMBER.sub(lambda found: f"{float(found[0]):.4g}", label)


def named_rows(groups: Sequence[Group]) -> Iterator[tuple[str, Row]]:
    """Each row with its label, and with its student where there are several."""
    for group in groups:
        for row in group.rows:
            several = len(groups) > 1 and row.kind == "student"
            yield f"{row.label} on {group.student}" if several else row.label, row
