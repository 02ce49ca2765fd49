"""Writes tables for a paper: legible in a column or across two, with notes of their own below."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dfrd_bench.reporting.escaping import escape_latex
from dfrd_bench.reporting.paper import SEPARATION, SIZES, Float, Paper, floats, line_of, text_width
from dfrd_bench.reporting.tables.choice import by_attack
from dfrd_bench.reporting.tables.layout import TIED, Column, ResultTable, Row, attack_title
from dfrd_bench.reporting.tables.markup import LATEX, label_cells, labels
from dfrd_bench.reporting.tables.stages import with_stages

BOLD = 1.17


@dataclass(frozen=True)
class Fit:
    """How a table is set: its columns in parts, how large, and whether what stands behind a number goes below it."""

    parts: tuple[tuple[Column, ...], ...]
    size: str
    stacked: bool


def to_latex(tables: Sequence[ResultTable], paper: Paper | None = None) -> str:
    """Booktabs tables to be input by a document, none wider than there is room for, in 7 points or more.

    Where one does not fit, what stands behind the numbers goes below them; where that does not either, it becomes several.
    """
    paper = paper or Paper()
    lines = [paper.preamble]
    used = 0
    for table in with_stages(tables):
        fit = fitted(table, paper.width)
        first = 0 if paper.label is None else used  # a table's own name is no other table's
        used += len(fit.parts)
        content = Float(
            titles=[table.title] * len(fit.parts),
            names=[paper.name(_own_name(table), first + number) for number in range(len(fit.parts))],
            tabulars=[[*_tabular(table, columns, stacked=fit.stacked)] for columns in fit.parts],
            size=fit.size,
            explained=[*LATEX.caption(table)],
            notes=table.notes,
        )
        lines += floats(content, paper)
    return "\n".join(lines) + "\n"


def fitted(table: ResultTable, width: float) -> Fit:
    """The largest type, and the fewest tables, at which every part of a table is no wider than this many points.

    What is still wider in single columns at the smallest type stays so.
    """
    whole = (table.columns,)
    for stacked in (False, True):
        for size, points in SIZES:
            if width_of(table, table.columns, points, stacked=stacked) <= width:
                return Fit(whole, size, stacked)
    size, points = SIZES[-1]
    attacks = table.attacks
    cuts = [_between(table, -(-len(attacks) // parts)) for parts in range(2, len(attacks) + 1)]
    for cut in cuts:
        if all(width_of(table, columns, points, stacked=True) <= width for columns in cut):
            return Fit(cut, size, stacked=True)
    return Fit(tuple((column,) for column in table.columns), size, stacked=True)


def width_of(table: ResultTable, columns: Sequence[Column], points: float, *, stacked: bool) -> float:
    """About how wide some columns of a table are, with those on the left, in points of a font of this size."""
    names = [label_cells(table, group.student, row)[1:] for group in table.groups for row in group.rows]
    left = [max(map(text_width, cells)) for cells in zip(labels(table)[1:], *names, strict=True)]
    numbers = {column: max(_cell_widths(table, column, stacked=stacked)) for column in columns}
    total, gaps = sum(left) * points, 2 * SEPARATION * (len(left) + len(numbers))
    for attack, _ in by_attack(columns):
        total += points * max(
            text_width(attack_title(attack)), sum(width for c, width in numbers.items() if c.attack == attack)
        )
    return total + gaps


def _cell_widths(table: ResultTable, column: Column, *, stacked: bool) -> Iterator[float]:
    yield text_width(column.title)
    for row in table.rows:
        cell, behind = row.cells[column], row.uncertainty(column)
        bold = BOLD if cell.mark in ("best", "tied") else 1.0
        mark = TIED if cell.mark == "tied" else ""
        yield bold * text_width(cell.text + ("" if stacked else behind)) + text_width(mark)
        if stacked:
            yield text_width(behind.strip())


def _between(table: ResultTable, size: int) -> tuple[tuple[Column, ...], ...]:
    """The columns of so many attacks at a time."""
    parts = [table.attacks[at : at + size] for at in range(0, len(table.attacks), size)]
    return tuple(tuple(column for column in table.columns if column.attack in part) for part in parts)


def _own_name(table: ResultTable) -> str:
    """What tells a table from others, for its label."""
    part = f"-{table.attacks[0]}-stages" if table.columns[0].stage else f" {table.part}".rstrip()
    track = "" if table.track == "data-free" else f" {table.track}"
    return re.sub(r"[^a-z0-9]+", "-", f"{table.dataset}-{table.teacher}{track}{part}".lower())


def _tabular(table: ResultTable, columns: Sequence[Column], *, stacked: bool) -> Iterator[str]:
    left, groups = labels(table)[1:], by_attack(columns)
    total = len(left) + len(columns)
    tops = [rf"\multicolumn{{{count}}}{{c}}{{{escape_latex(attack_title(attack))}}}" for attack, count in groups]
    rules, at = [], len(left) + 1
    for _, count in groups:
        rules.append(rf"\cmidrule(lr){{{at}-{at + count - 1}}}")
        at += count
    yield rf"\begin{{tabular}}{{l{'c' * (total - 1)}}}"
    yield r"  \toprule"
    yield f"  {line_of([*[''] * len(left), *tops])}"
    yield f"  {''.join(rules)}"
    yield f"  {line_of([*left, *(escape_latex(column.title) for column in columns)])}"
    for group in table.groups:
        yield r"  \midrule"
        yield rf"  \multicolumn{{{total}}}{{l}}{{\emph{{{escape_latex(group.student)}}}}} \\"
        for row in group.rows:
            names = [escape_latex(text) for text in label_cells(table, group.student, row)[1:]]
            yield from (f"  {line_of(cells)}" for cells in _cells(names, row, columns, stacked=stacked))
    yield r"  \bottomrule"
    yield r"\end{tabular}"


def _cells(names: list[str], row: Row, columns: Sequence[Column], *, stacked: bool) -> Iterator[list[str]]:
    """A row's cells; with what stands behind its numbers in a second row where that is asked for."""
    if not stacked:
        yield [*names, *(LATEX.cell(row, column) for column in columns)]
        return
    yield [*names, *(LATEX.value(row, column) for column in columns)]
    behind = [escape_latex(row.uncertainty(column).strip().replace("± ", "±")) for column in columns]
    if any(behind):
        yield [*[""] * len(names), *behind]
