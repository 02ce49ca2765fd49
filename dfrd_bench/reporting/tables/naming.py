"""What rows are called in the lines below a table, where it may have several students."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dfrd_bench.reporting.tables.layout import Group, Row


def named_rows(groups: Sequence[Group]) -> Iterator[tuple[str, Row]]:
    """Each row with its label, and with its student where there are several."""
    for group in groups:
        for row in group.rows:
            several = len(groups) > 1 and row.kind == "student"
            yield f"{row.label} on {group.student}" if several else row.label, row
