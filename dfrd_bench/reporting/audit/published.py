"""The audit of the papers' tables: each row by itself, and what their tables say twice."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from dfrd_bench.evaluation.audit import AuditRow, Finding, Kind, Quantity, audit, cell_name
from dfrd_bench.records.schema import METRICS
from dfrd_bench.reporting.published import CLASSES, Entry, published

CLASS_IMAGES = {"cifar10": 1000, "cifar100": 100, "tiny-imagenet": 50}
RULED = {"ferd:table7": 5}
"""Rows above a rule that only the print has, as the marks show; the text speaks of the four rows below it."""
NAME_WIDTH = 16


def audit_published(
    tables: Mapping[str, Sequence[Entry]] | None = None, names: Collection[str] | None = None
) -> list[Finding]:
    """Everything in the published tables (all of them by default) that breaks a rule, table by table.

    Args:
        tables: that there are.
        names: of those to audit, all by default; they are held against the others too.
    """
    tables = published() if tables is None else tables
    names = tables.keys() if names is None else names
    findings = []
    for name in filter(names.__contains__, tables):
        findings += audit(rows_of(name, tables[name]))
        findings += [*printed_changes(name, tables[name]), *second_marks(name, tables[name])]
    findings += repeated_cells(tables, names)
    order = list(tables)
    return sorted(findings, key=lambda finding: order.index(finding.where))


def overview(names: Iterable[str]) -> str:
    """A line for each of some published tables: its name, of which datasets, and how many rows and numbers it has."""
    lines = []
    for name in names:
        entries = published()[name]
        datasets = ", ".join(dict.fromkeys(entry.dataset for entry in entries))
        lines.append(f"{name:{NAME_WIDTH}}  {len(_by_row(entries)):3} rows  {len(entries):4} numbers  {datasets}\n")
    return "".join(lines)


def rows_of(name: str, entries: Iterable[Entry]) -> list[AuditRow]:
    """A table's rows, each with its accuracies and NSDs; other metrics are left out."""
    return [
        AuditRow(
            where=name,
            label=_label(part[0]),
            classes=CLASSES[part[0].dataset],
            numbers={
                (e.attack, e.metric): Quantity(e.number, e.value, e.rounding) for e in part if e.metric in METRICS
            },
            class_images=CLASS_IMAGES[part[0].dataset],
        )
        for part in _by_row(entries)
    ]


def printed_changes(name: str, entries: Iterable[Entry]) -> Iterator[Finding]:
    """A change in parentheses is the converted row minus the one as it was."""
    averages = {(e.dataset, e.student, e.method, e.variant, e.attack): e for e in entries if e.metric == "average"}
    for entry in (e for e in entries if e.metric == "average_change"):
        before = averages.get((entry.dataset, entry.student, entry.method, "conversion=false", entry.attack))
        after = averages.get((entry.dataset, entry.student, entry.method, entry.variant, entry.attack))
        if before is None or after is None:
            continue
        change = after.number - before.number
        if abs(change - entry.number) > after.rounding + before.rounding + entry.rounding + 1e-9:
            numbers = f"{before.value} → {after.value}, printed change {entry.value}"
            text = f"The difference of the two printed numbers is {100 * change:+.2f}."
            yield _finding(name, entry, "printed-change", "contradictory", numbers, text)


def second_marks(name: str, entries: Sequence[Entry]) -> Iterator[Finding]:
    """An underlined value is the second best printed one of its column among the rows that compete.

    These are the rows of one dataset and student, and of one side of a rule across the table.
    """
    columns: dict[tuple[str, str, bool, str, str], list[Entry]] = {}
    for number, part in enumerate(_by_row(entries)):
        for e in part:
            below = number >= RULED.get(name, 0)
            columns.setdefault((e.dataset, e.student, below, e.attack, e.metric), []).append(e)
    for (*_, metric), competing in columns.items():
        ranking = sorted({e.number for e in competing}, reverse=metric != "nsd")
        for entry in (e for e in competing if e.mark == "second" and len(ranking) > 1 and e.number != ranking[1]):
            second = next(e for e in competing if e.number == ranking[1])
            numbers = f"{entry.value} underlined; second best {second.value}"
            place = ranking.index(entry.number) + 1
            text = f"It is number {place} of its column; the second best is that of {_variant(second)}."
            yield _finding(name, entry, "underline", "contradictory", numbers, text)


def repeated_cells(tables: Mapping[str, Sequence[Entry]], names: Collection[str] | None = None) -> Iterator[Finding]:
    """A paper that prints a number again prints the same; where `names` are given, only what concerns one of these tables."""
    names = tables.keys() if names is None else names
    first: dict[tuple[str, ...], tuple[str, Entry]] = {}
    for name, entries in tables.items():
        for entry in entries:
            key = (entry.paper, *entry.row, entry.attack, entry.metric)
            where, earlier = first.setdefault(key, (name, entry))
            asked = name in names or where in names
            if asked and where != name and abs(earlier.number - entry.number) > 1e-9:
                numbers = f"{entry.value}; in {where} {earlier.value}"
                text = f"The same network has another {cell_name(entry.attack, entry.metric)} in {where}."
                yield _finding(name, entry, "repeated-cell", "contradictory", numbers, text)


def _by_row(entries: Iterable[Entry]) -> list[list[Entry]]:
    rows: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        rows.setdefault(entry.row, []).append(entry)
    return list(rows.values())


def _variant(entry: Entry) -> str:
    return entry.method if entry.variant == "default" else f"{entry.method} ({entry.variant})"


def _label(entry: Entry) -> str:
    return f"{_variant(entry)} on {entry.student}, {entry.dataset}"


def _finding(name: str, entry: Entry, rule: str, kind: Kind, numbers: str, sentence: str) -> Finding:
    return Finding(name, _label(entry), cell_name(entry.attack, entry.metric), rule, kind, numbers, sentence)
