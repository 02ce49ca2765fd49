"""Our rows beside those that a paper prints, with the difference and what makes it no comparison."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.reporting.papers import papers
from dfrd_bench.reporting.published import Entry, published_table, variant_key
from dfrd_bench.reporting.tables.comparability import CONVERTED, WORST
from dfrd_bench.reporting.tables.layout import (
    ATTACK_TITLES,
    METHOD_TITLES,
    METRIC_TITLES,
    NOT_RUN,
    UNCONVERTED,
    Cell,
    Column,
    Group,
    ResultTable,
    Row,
    row_label,
)

NOTHING = Cell(None, None, NOT_RUN, "")
Key = tuple[str, frozenset[str]]
"""By what rows are matched: the method, and what sets the variant apart."""


@dataclass(frozen=True)
class PublishedRow:
    """One printed row: whose it is, and its numbers by attack and metric."""

    dataset: str
    teacher: str
    student: str
    method: str
    variant: str
    numbers: dict[tuple[str, str], Entry]

    @property
    def key(self) -> Key:
        return self.method, variant_key(self.variant)


@dataclass(frozen=True)
class PublishedRows:
    """All rows of a printed table that have accuracies or NSD, in their order.

    Attributes:
        name: of the table, e.g. "ferd:table1".
        source: which version of the paper prints it; see `Paper.source`.
    """

    name: str
    source: str
    rows: tuple[PublishedRow, ...]


def published_rows(name: str, attacks: Collection[str] | None = None) -> PublishedRows:
    """A paper's table by rows; of its columns only those under some attacks, by default all.

    Raises:
        DfrdBenchError: there is no such table, or it prints neither accuracies nor NSD under these attacks.
    """
    rows: dict[tuple[str, ...], PublishedRow] = {}
    for e in published_table(name):
        if e.metric in METRIC_TITLES and (attacks is None or e.attack in attacks):
            whose = (e.dataset, e.teacher, e.student, e.method, e.variant)
            rows.setdefault(whose, PublishedRow(*whose, {})).numbers[e.attack, e.metric] = e
    if not rows:
        where = "" if attacks is None else f" under {', '.join(attacks)}"
        raise DfrdBenchError(f"{name} prints neither accuracies nor NSD{where}, so nothing can be put beside ours.")
    return PublishedRows(name, papers()[name.partition(":")[0]].source, tuple(rows.values()))


def beside(table: ResultTable, printed: PublishedRows) -> ResultTable:
    """A table of ours with a paper's rows in it, matched by method and variant.

    Below a row of ours that the paper has too come its printed row and the difference, ours minus printed; rows that only
    one side has are shown as well. Where the paper has our dataset or our student, only the rows of that are used; else
    there is a group for each of its students. Nothing is marked as best.

    Args:
        table: from `build_tables`.
        printed: from `published_rows`.
    """
    theirs = _preferred(printed.rows, "dataset", table.dataset)
    columns = _columns(table, theirs)
    groups, pairs = [], set()
    for group in table.groups:
        rows = _preferred(theirs, "student", group.student)
        for dataset, student in dict.fromkeys((row.dataset, row.student) for row in rows):
            part = [row for row in rows if (row.dataset, row.student) == (dataset, student)]
            name = group.student if student == group.student else f"{group.student} beside {student}"
            name += f" ({dataset})" if len({row.dataset for row in rows}) > 1 else ""
            groups.append(Group(name.removeprefix(" "), tuple(_rows(table, group, part, columns, printed))))
            pairs.add((group.student, student))
    differing = _differing(table, theirs, pairs)
    suffix = f" – NOT COMPARABLE: other {_listed(differing)}" if differing else ""
    return replace(
        table,
        columns=columns,
        groups=tuple(groups),
        legend=tuple(dict.fromkeys((*table.legend, *_legend(table, columns, groups, printed, theirs)))),
        warnings=(*_warnings(differing, printed.name), *table.warnings),
        beside=f", beside {printed.name}{suffix}",
    )


def _preferred(rows: Sequence[PublishedRow], what: str, ours: str) -> list[PublishedRow]:
    """The rows whose dataset or student is ours, if there are any, else all."""
    return [row for row in rows if getattr(row, what) == ours] or list(rows)


def _columns(table: ResultTable, theirs: Iterable[PublishedRow]) -> tuple[Column, ...]:
    """Every attack of either side, and for each of them every metric of either side."""
    cells = [(column.attack, column.metric) for column in table.columns]
    cells += [cell for row in theirs for cell in row.numbers]
    attacks = sorted({attack for attack, _ in cells} - set(ATTACK_TITLES))
    attacks = [attack for attack in ATTACK_TITLES if attack in {attack for attack, _ in cells}] + attacks
    metrics = [metric for metric in METRIC_TITLES if metric in {metric for _, metric in cells}]
    return tuple(Column(attack, metric) for attack in attacks for metric in metrics)


def _rows(
    table: ResultTable, group: Group, theirs: Sequence[PublishedRow], columns: Sequence[Column], printed: PublishedRows
) -> list[Row]:
    """Ours, printed, difference, for each method in the papers' order, the teacher first."""
    by_key = {row.key: row for row in theirs}
    both = _unconverted([*((r.method, r.variant) for r in group.rows), *((r.method, r.variant) for r in theirs)])
    blocks: list[tuple[str, list[Row]]] = []
    origin = (table.dataset, table.teacher, group.student)
    for row in group.rows:
        label = row_label(row.kind, row.method, row.variant, group.student, row.settings, both)
        label = row.label if row.kind == "teacher" else label  # a teacher's own architecture is not the group's
        cells = {c: replace(row.cells.get(c, NOTHING), mark=None) for c in (*columns, *table.stages)}
        block = [replace(row, label=label, cells=cells, origin=origin)]
        match = by_key.get((row.method, variant_key(row.variant)))
        if match is not None:
            block.append(_printed_row(match, columns, both, printed))
            block.append(_difference(*block))
        blocks.append((row.method, block))
    ours = {(row.method, variant_key(row.variant)) for row in group.rows}
    blocks += [(row.method, [_printed_row(row, columns, both, printed)]) for row in theirs if row.key not in ours]
    order = ["teacher", *METHOD_TITLES]
    blocks.sort(key=lambda block: order.index(block[0]) if block[0] in order else len(order))
    return [row for _, block in blocks for row in block]


def _printed_row(
    row: PublishedRow, columns: Sequence[Column], unconverted: Collection[str], printed: PublishedRows
) -> Row:
    kind = "teacher" if row.method == "teacher" else "student"
    cells = dict.fromkeys(columns, NOTHING)
    for column in columns:
        entry = row.numbers.get((column.attack, column.metric))
        if entry is not None:
            cells[column] = Cell(entry.number, None, entry.value, "")
    label = f"{row_label(kind, row.method, row.variant, row.student, unconverted=unconverted)} in {printed.name}"
    whose = (row.dataset, row.teacher, row.student)
    return Row("published", row.method, row.variant, printed.name, label, (), cells, whose, printed.source)


def _difference(ours: Row, theirs: Row) -> Row:
    """Ours minus printed, in points or in NSD, where both are numbers."""
    cells = {}
    for column, printed_cell in theirs.cells.items():
        cell, printed = ours.cells[column], printed_cell.mean
        cells[column] = NOTHING
        if cell.mean is not None and printed is not None:
            difference = cell.mean - printed
            cells[column] = Cell(difference, None, f"{'+' if difference >= 0 else ''}{column.show(difference)}", "")
    pairs = zip(ours.origin or (), theirs.origin or (), strict=True)
    dataset, teacher, student = (one if one == other else f"{one} - {other}" for one, other in pairs)
    settings, whose = f"ours - {theirs.settings}", (dataset, teacher, student)
    return Row("difference", ours.method, ours.variant, settings, "difference", (), cells, whose, theirs.source)


def _unconverted(rows: Iterable[tuple[str, str]]) -> set[str]:
    """The methods that are there both as they were and converted."""
    rows = list(rows)
    without = {method for method, variant in rows if UNCONVERTED in variant.split("+")}
    return without & {method for method, variant in rows if UNCONVERTED not in variant.split("+")}


def _differing(table: ResultTable, theirs: Sequence[PublishedRow], pairs: set[tuple[str, str]]) -> dict[str, str]:
    """What is not the same on both sides, and how it is called on either."""
    datasets = dict.fromkeys(row.dataset for row in theirs)
    teachers = dict.fromkeys(row.teacher for row in theirs if row.teacher)
    students = [pair for pair in sorted(pairs) if pair[0] != pair[1]]
    found = {}
    if list(datasets) != [table.dataset]:
        found["dataset"] = f"{table.dataset} here, {' and '.join(datasets)} there"
    if list(teachers) != [table.teacher]:
        found["teacher"] = f"{table.teacher} here, {' and '.join(teachers)} there"
    if students:
        here, there = (dict.fromkeys(pair[side] for pair in students if pair[side]) for side in (0, 1))
        found["student"] = f"{' and '.join(here) or 'none'} here, {' and '.join(there)} there"
    return found


def _warnings(differing: dict[str, str], name: str) -> tuple[str, ...]:
    if not differing:
        return ()
    details = "; ".join(f"{what}: {how}" for what, how in differing.items())
    return (
        f"Not comparable with {name}: {_listed(differing)} differ. {details}. "
        "The differences are arithmetic and say nothing about which method is better.",
    )


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _legend(
    table: ResultTable,
    columns: Sequence[Column],
    groups: Iterable[Group],
    printed: PublishedRows,
    theirs: Iterable[PublishedRow],
) -> tuple[str, ...]:
    """What the other rows are and of which version of the paper, and metrics that only the paper has."""
    new = dict.fromkeys(
        c.metric for c in columns if c.metric in WORST and c.metric not in {o.metric for o in table.columns}
    )
    datasets = " and ".join(dict.fromkeys(row.dataset for row in theirs))
    return (
        *(f"{WORST[metric]}." for metric in new),
        *([CONVERTED] if any("+RSLAD" in row.label for group in groups for row in group.rows) else []),
        f"Rows in {printed.name} are the paper's, as printed, on {datasets}; their teacher and student are known by name only. "
        f"Difference: ours minus printed, in points. {NOT_RUN} stands for what was not run or is not printed.",
        f"Version of {printed.name}: {printed.source}.",
    )
