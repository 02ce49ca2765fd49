"""Which rows were made by code that is not their method's of today, and the line below a table that says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dfrd_bench.reporting.codes import UNNAMED
from dfrd_bench.reporting.tables.layout import OTHER_CODE, Group, Row
from dfrd_bench.reporting.tables.naming import named_rows

APART = "code=…: rows made by different code of the method, whose seeds are never averaged"
UNSAID = "; not named: their records, older than such digests, do not say by which"


def about_apart(rows: Sequence[Row]) -> str:
    """The line below a table with rows of one method that other code made; "" where there are none."""
    if not any("code=" in row.settings for row in rows):
        return ""
    return APART + UNSAID * any(f"code={UNNAMED}" in row.settings for row in rows) + "."


def about_other_code(groups: Sequence[Group]) -> str:
    """The line below a table that says what the mark on a row means, and by which code it was made; "" where no row has it."""
    return line_about({name: row.other_code for name, row in named_rows(groups) if row.other_code})


def line_about(rows: Mapping[str, str]) -> str:
    """The same for some rows, each with what `beside_todays` says of it; "" without rows."""
    if not rows:
        return ""
    said = "; ".join(f"{name} ({code})" for name, code in rows.items())
    return f"{OTHER_CODE} Not by today's code of its method: {said}. The same command makes such a run anew, beside the old one."
