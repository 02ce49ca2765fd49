"""How much of its teacher's robustness a student inherits, class by class (Yue et al. 2023, Fair-ARD, table 1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.reporting.escaping import escape_markdown
from dfrd_bench.reporting.tables.layout import UNDEFINED, ResultTable, Row, attack_title
from dfrd_bench.reporting.tables.markup import small_table
from dfrd_bench.reporting.tables.naming import named_rows

STYLES = ("terminal", "markdown")
MOST_CLASSES = 20  # a column each
MEANING = (
    "Accuracy under {attack} in % of the teacher's, of each class and on average; from means over seeds. Least: of the class "
    "that inherits least. {dash}: the teacher has none of that class left."
)


def render_inherited(tables: Sequence[ResultTable], style: str) -> str:
    """A table for every attack of each: in every row the share that a student has of its teacher's accuracy, class by class.

    Args:
        tables: from `build_tables`, with teachers.
        style: "markdown", or "terminal" for plain text.

    Raises:
        DfrdBenchError: another style; no table has its teacher's record under an attack; or more classes than there is room for.
    """
    if style not in STYLES:
        raise DfrdBenchError(f"--inherited is for --format {' or '.join(STYLES)}, not {style}.")
    parts = [
        _rendered(table, attack, teacher, style == "markdown")
        for table in tables
        if (teacher := next((row for row in table.rows if row.kind == "teacher"), None))
        for attack in table.attacks
        if attack != "clean" and attack in teacher.records[0].evaluation.attacks
    ]
    if not parts:
        raise DfrdBenchError(
            "No teacher here has a record under an attack to inherit from: `dfrd-bench evaluate --teacher NAME` makes one."
        )
    return "\n".join(parts)


def inherited(row: Row, teacher: Row, attack: str) -> list[float | None] | None:
    """A student's accuracy under an attack as a share of its teacher's, [K]; None of a class of which the teacher has nothing
    left, and None for a student that was not attacked so.
    """
    had = teacher.records[0].evaluation.attacks[attack].per_class
    has = [record.evaluation.attacks[attack].per_class for record in row.records if attack in record.evaluation.attacks]
    if not has:
        return None
    means = [fmean(value or 0.0 for value in of_class) for of_class in zip(*has, strict=True)]
    return [mean / whole if whole else None for mean, whole in zip(means, had, strict=True)]


def _rendered(table: ResultTable, attack: str, teacher: Row, markdown: bool) -> str:
    classes = teacher.records[0].dataset.info.class_names
    if len(classes) > MOST_CLASSES:
        raise DfrdBenchError(
            f"--inherited has a column for each class, and shows at most {MOST_CLASSES}, not {len(classes)}."
        )
    escape = escape_markdown if markdown else str
    titles = ["Method", *map(escape, classes), "Least", "Average"]
    rows = [
        [escape(name), *_cells(row, shares, teacher, attack)]
        for name, row in named_rows(table.groups)
        if row.kind == "student" and (shares := inherited(row, teacher, attack))
    ]
    said = MEANING.format(attack=attack_title(attack), dash=UNDEFINED)
    return small_table(table.title, titles, rows, [said], markdown=markdown)


def _cells(row: Row, shares: Sequence[float | None], teacher: Row, attack: str) -> Iterator[str]:
    known = [share for share in shares if share is not None]
    for share in (*shares, min(known) if known else None):
        yield UNDEFINED if share is None else f"{100 * share:.0f}"
    has = fmean(
        record.evaluation.attacks[attack].average for record in row.records if attack in record.evaluation.attacks
    )
    had = teacher.records[0].evaluation.attacks[attack].average
    yield f"{100 * has / had:.0f}" if had else UNDEFINED
