"""Writes tables for a paper: legible in a column or across two, with notes of their own below."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from dfrd_bench.reporting.escaping import escape_latex, printable
from dfrd_bench.reporting.tables.choice import by_attack
from dfrd_bench.reporting.tables.layout import TIED, Column, ResultTable, Row, attack_title
from dfrd_bench.reporting.tables.markup import LATEX, label_cells, labels
from dfrd_bench.reporting.tables.stages import with_stages

Notes = Literal["below", "caption", "none"]
NARROW, WIDE = 239.0, 505.0  # points: a column and the text of a page with two, 3.3 and 7 inches
SIZES = (("footnotesize", 8.0), ("scriptsize", 7.0))  # of a document in 10 points
SEPARATION = 2.0  # points on either side of a column
BOLD = 1.17
EM = {".": 0.32, ",": 0.32, " ": 0.39, "-": 0.39, "(": 0.45, ")": 0.45, "[": 0.32, "]": 0.32, "±": 0.9, TIED: 0.45}
DIGIT, CAPITAL, OTHER = 0.58, 0.83, 0.62  # widths in units of the font's size, of Computer Modern at 7 points
CAPITALS = re.compile("[A-ZΑ-Ω%∞↑↓+=‡]")


@dataclass(frozen=True)
class Paper:
    """How tables are to stand in a paper.

    Attributes:
        wide: across both columns of a page (`table*`).
        caption: LaTeX, in place of the table's title.
        label: in place of the table's own; of several tables the later ones have `-2`, `-3`, … behind it.
        notes: what the numbers mean and what to beware of: below the table, in its caption, or nowhere.
    """

    wide: bool = False
    caption: str | None = None
    label: str | None = None
    notes: Notes = "below"

    @property
    def width(self) -> float:
        """How wide a table may be, in points."""
        return WIDE if self.wide else NARROW


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
    notes = r", \usepackage{threeparttable}" if paper.notes == "below" else ""
    lines = [rf"% Needs \usepackage{{booktabs}}{notes} in the preamble."]
    used = 0
    for table in with_stages(tables):
        fit = fitted(table, paper.width)
        first = 0 if paper.label is None else used  # a table's own name is no other table's
        names = [_label(table, paper, first + number) for number in range(len(fit.parts))]
        used += len(fit.parts)
        for columns, name in zip(fit.parts, names, strict=True):
            lines += _environment(table, columns, fit, paper, names, name)
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


def text_width(text: str) -> float:
    """About how wide a text is, in units of its font's size; rather too wide than too narrow."""
    return sum(
        EM.get(c) or (DIGIT if c.isdigit() else CAPITAL if CAPITALS.match(c) else OTHER) for c in printable(text)
    )


def _between(table: ResultTable, size: int) -> tuple[tuple[Column, ...], ...]:
    """The columns of so many attacks at a time."""
    parts = [table.attacks[at : at + size] for at in range(0, len(table.attacks), size)]
    return tuple(tuple(column for column in table.columns if column.attack in part) for part in parts)


def _label(table: ResultTable, paper: Paper, number: int) -> str:
    """The label of a table's part, the first of all having no number."""
    if paper.label is not None:
        return paper.label + (f"-{number + 1}" if number else "")
    part = f"-{table.attacks[0]}-stages" if table.columns[0].stage else f" {table.part}".rstrip()
    track = "" if table.track == "data-free" else f" {table.track}"
    own = re.sub(r"[^a-z0-9]+", "-", f"{table.dataset}-{table.teacher}{track}{part}".lower())
    return f"tab:{own}" + (f"-{number + 1}" if number else "")


def _environment(
    table: ResultTable, columns: tuple[Column, ...], fit: Fit, paper: Paper, names: Sequence[str], name: str
) -> Iterator[str]:
    """One `table` or `table*`; the last of a table's parts has the notes."""
    kind, last = "table*" if paper.wide else "table", name == names[-1]
    caption = paper.caption or f"{escape_latex(table.title)}."
    caption += " (Continued.)" if name != names[0] else ""
    explained = list(LATEX.caption(table)) if paper.notes != "none" else []
    if paper.notes == "caption" and last:
        caption = " ".join([caption, *explained])
    elif explained and not last:
        caption += rf" For notes see Table~\ref{{{names[-1]}}}."
    below = explained if paper.notes == "below" and last else []
    yield from (f"% Note. {printable(note)}" for note in table.notes if last)
    yield rf"\begin{{{kind}}}[t]"
    yield rf"  \centering\{fit.size}\setlength{{\tabcolsep}}{{{SEPARATION:g}pt}}"
    yield from [r"  \begin{threeparttable}"] if below else []
    yield rf"  \caption{{{caption}}}"
    yield rf"  \label{{{name}}}"
    yield from (f"  {line}" for line in _tabular(table, columns, stacked=fit.stacked))
    if below:
        yield rf"  \begin{{tablenotes}}[flushleft]\{SIZES[-1][0]}"
        yield from (rf"    \item {sentence}" for sentence in below)
        yield r"  \end{tablenotes}"
        yield r"  \end{threeparttable}"
    yield rf"\end{{{kind}}}"


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
    yield f"  {_row([*[''] * len(left), *tops])}"
    yield f"  {''.join(rules)}"
    yield f"  {_row([*left, *(escape_latex(column.title) for column in columns)])}"
    for group in table.groups:
        yield r"  \midrule"
        yield rf"  \multicolumn{{{total}}}{{l}}{{\emph{{{escape_latex(group.student)}}}}} \\"
        for row in group.rows:
            names = [escape_latex(text) for text in label_cells(table, group.student, row)[1:]]
            yield from (f"  {_row(cells)}" for cells in _cells(names, row, columns, stacked=stacked))
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


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
