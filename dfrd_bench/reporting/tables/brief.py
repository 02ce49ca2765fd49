"""A table for somebody who sees one for the first time: a line per method, five numbers, and what they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.reporting.escaping import escape_markdown, printable
from dfrd_bench.reporting.tables.comparability import OWN_WARNINGS, level
from dfrd_bench.reporting.tables.contested import about_contested
from dfrd_bench.reporting.tables.layout import FLATTERED, NOT_RUN, UNDEFINED, Column, ResultTable, Row, attack_title
from dfrd_bench.reporting.tables.markup import small_table
from dfrd_bench.reporting.tables.other_code import about_apart, about_other_code

STRENGTH = ("autoattack", "pgd20x5", "pgd20", "cw", "fgsm")
"""Attacks, the one whose verdict is to be believed first."""
NAMES = {"autoattack": "AutoAttack"}  # as it is called where there is room
STYLES = ("terminal", "markdown")


def render_brief(tables: Sequence[ResultTable], style: str) -> str:
    """Tables of five columns: accuracy without attack, then under the strongest attack that there is on average, of the worst
    class, and NSD, and the minutes of training; as text that ends in a newline.

    Numbers are means over seeds. In Markdown the best of each column, and what the test images cannot tell from it, are bold.

    Args:
        tables: from `build_tables`.
        style: "markdown", or "terminal" for plain text.

    Raises:
        DfrdBenchError: another style; or no attack that keeps within ε.
    """
    if style not in STYLES:
        raise DfrdBenchError(f"A brief table is for --format {' or '.join(STYLES)}, not {style}.")
    attacked = [table for table in tables if set(STRENGTH) & set(table.attacks)] or tables
    parts = [_rendered(table, style == "markdown") for table in attacked]
    parts += [
        f"Left out, as under no attack: {table.dataset}, {table.teacher}.\n"
        for table in tables
        if table not in attacked
    ]
    return "\n".join(parts)


def strongest(attacks: Sequence[str]) -> str:
    """The attack whose verdict is to be believed first.

    Raises:
        DfrdBenchError: there is none under which images are changed.
    """
    found = next((name for name in STRENGTH if name in attacks), None)
    if found is None:
        raise DfrdBenchError(
            "No run here was attacked by more than a clean test: `dfrd-bench evaluate RUN` adds attacks."
        )
    return found


def minutes_of(row: Row) -> float | None:
    """How long the training took, averaged over seeds; None where a record does not say so."""
    times = [record.training.seconds / 60 for record in row.records if record.training is not None]
    return fmean(times) if times and len(times) == len(row.records) else None


def _rendered(table: ResultTable, markdown: bool) -> str:
    attack = strongest(table.attacks)
    name = NAMES.get(attack, attack_title(attack))
    columns = [
        Column("clean", "average"),
        *(Column(attack, metric) for metric in ("average", table_worst(table), "nsd")),
    ]
    worst = "Worst tenth" if table_worst(table) == "worst_10" else "Worst class"
    titles = ["Method", "Clean (%) ↑", f"{name} (%) ↑", f"{worst} (%) ↑", "NSD ↓", "Minutes"]
    several = len(table.groups) > 1
    students = [row for row in table.rows if row.kind == "student"]
    level_ones = {column for column in columns if len({_cell(row, column, False) for row in students}) == 1}
    rows = [
        [
            _label(row, group.student if several else "", markdown),
            *(_cell(row, column, markdown and column not in level_ones) for column in columns),
            _minutes(row),
        ]
        for group in table.groups
        for row in group.rows
    ]
    said = [escape_markdown(line) if markdown else line for line in _legend(table, name)]
    if markdown:
        marks = "**Bold**: the best" + (", and what the test images cannot tell from it." if table.tested else ".")
        said.append(marks)
    said += map(escape_markdown if markdown else printable, _doubts(table))
    return small_table(table.title, titles, rows, said, markdown=markdown)


def _doubts(table: ResultTable) -> Iterator[str]:
    """What the whole table warns of and notes; not that runs have warnings of their own, of which nearly all have."""
    yield from (f"Warning. {text}" for text in table.warnings if not text.startswith(OWN_WARNINGS))
    yield from (f"Note. {text}" for text in table.notes)


def table_worst(table: ResultTable) -> str:
    """The metric of the weakest classes that a table has."""
    return next((c.metric for c in table.columns if c.metric in ("worst_class", "worst_10")), "worst_class")


def _legend(table: ResultTable, attack: str) -> Iterator[str]:
    record = table.rows[-1].records[0]
    classes, eps = record.dataset.info.num_classes, level(record.spec.threat.eps)
    several = " Means over seeds." if table.several_seeds else ""
    weakest = "of the worst tenth of the classes" if table_worst(table) == "worst_10" else "of the worst class"
    yield (
        f"Accuracy on {record.dataset.test_images} test images of {classes} classes: clean, under {attack} (L∞, ε = {eps}), and "
        f"{weakest} under it. NSD: how unequally the classes fare under it, 0 where all fare alike. Minutes of training, as "
        f"recorded.{several}"
    )
    if any(row.flattered for row in table.rows):
        yield f"{FLATTERED} Attacks that follow gradients flatter these rows; AutoAttack also asks without."
    yield from filter(None, (about_apart(table.rows), about_contested(table), about_other_code(table.groups)))


def _label(row: Row, student: str, markdown: bool) -> str:
    text = f"{row.label} on {student}" if student and row.kind == "student" else row.label
    text = escape_markdown(text) if markdown else text
    return text + row.marks


def _cell(row: Row, column: Column, bold: bool) -> str:
    """A number; with Markdown's mark where it is the best and that is to be seen."""
    cell = row.cells.get(column)
    if cell is None or cell.mean is None:
        return NOT_RUN if cell is None else cell.text or UNDEFINED
    text = f"{cell.mean:.3f}" if column.metric == "nsd" else f"{100 * cell.mean:.1f}"
    return f"**{text}**" if bold and cell.mark in ("best", "tied") else text


def _minutes(row: Row) -> str:
    minutes = minutes_of(row)
    return "" if minutes is None else f"{minutes:.0f}" if minutes >= 1 else f"{minutes:.1f}"
