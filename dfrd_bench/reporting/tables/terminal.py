"""Shows tables in a terminal: as wide as it allows, in as many blocks of attacks as that takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO

from rich.box import HORIZONTALS
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.constrain import Constrain
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dfrd_bench.reporting.escaping import printable
from dfrd_bench.reporting.tables.layout import TIED, Column, ResultTable, Row, attack_title
from dfrd_bench.reporting.tables.marks import sentence, sentence_for_plain_text
from dfrd_bench.reporting.tables.markup import Markup, label_cells, labels
from dfrd_bench.reporting.tables.stages import with_stages

STYLES = {"best": "bold", "tied": "bold", "second": "underline", None: ""}
LEGEND = Markup(str, "[not dim bold]{}[/]", "[not dim underline]{}[/]")
UNLIMITED = 100_000
SHORTEST_LINE = 72
SHORTEST_WORD = 5
LONGEST_WORD = 14  # of a name, that is kept in one piece where the width is short
INDENT = (0, 0, 0, 1)  # as far as the box indents its rows


@dataclass(frozen=True)
class TerminalTables:
    """Tables as a rich renderable; `marks` tells whether bold and underline will be seen."""

    tables: Sequence[ResultTable]
    marks: bool = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for number, table in enumerate(with_stages(self.tables)):
            if number:
                yield ""
            blocks = _blocks(table, console, options.max_width)
            width = max(console.measure(block, options=options).maximum for block in blocks)
            width = min(max(width, SHORTEST_LINE), options.max_width)
            yield Constrain(Padding(Text(printable(table.title), style="bold"), INDENT), width)
            for part, block in enumerate(blocks):
                if part:
                    yield ""
                yield block
            for line in _caption(table, self.marks):
                yield Constrain(Padding(line, INDENT), width)


def renderable(tables: Sequence[ResultTable]) -> RenderableType:
    """The tables for `rich.console.Console.print` on a real terminal."""
    return TerminalTables(tables)


def plain_text(tables: Sequence[ResultTable]) -> str:
    """The same layout without escape codes or marks, however wide it gets."""
    stream = StringIO()
    console = Console(file=stream, width=UNLIMITED, force_terminal=False, color_system=None, legacy_windows=False)
    console.print(TerminalTables(tables, marks=False))
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def _blocks(table: ResultTable, console: Console, width: int) -> list[Table]:
    """The table, cut between attacks into as few equal parts as fit the width; where one attack does not, between metrics."""
    attacks, unlimited = table.attacks, console.options.update(width=UNLIMITED)
    cuts = [_between_attacks(table, -(-len(attacks) // parts)) for parts in range(1, len(attacks) + 1)]
    cuts += [[[column] for column in table.columns]]
    for cut, longest in [*((cut, LONGEST_WORD) for cut in cuts), (cuts[-1], SHORTEST_WORD)]:
        blocks = [_block(table, columns, longest) for columns in cut]
        if max(console.measure(block, options=unlimited).maximum for block in blocks) <= width:
            break
    return blocks


def _between_attacks(table: ResultTable, size: int) -> list[list[Column]]:
    """The columns of so many attacks at a time."""
    parts = [table.attacks[at : at + size] for at in range(0, len(table.attacks), size)]
    return [[column for column in table.columns if column.attack in part] for part in parts]


def _block(table: ResultTable, shown: Sequence[Column], longest_word: int) -> Table:
    """Some columns of a table, those of an attack as one column that holds its metrics side by side.

    Words of names are kept in one piece up to a length.
    """
    attacks = list(dict.fromkeys(column.attack for column in shown))
    grid = Table(box=HORIZONTALS, pad_edge=False, padding=(0, 1), header_style="", border_style="dim")
    names = [label_cells(table, group.student, row) for group in table.groups for row in group.rows]
    longest = {
        label: max(cell_len(word) for word in " ".join(column).split(" "))
        for label, column in zip(labels(table), zip(*names, strict=True), strict=True)
    }
    for label in labels(table):
        fixed = label == "Seeds"  # where the width is short, names wrap and numbers do not
        grid.add_column(
            Text(f"\n\n{label}", style="bold"),
            no_wrap=fixed,
            min_width=min(max(len(label), min(longest[label], LONGEST_WORD)), longest_word),
            overflow="fold",
            justify="right" if fixed else "left",
        )
    parts = [[column for column in shown if column.attack == attack] for attack in attacks]
    widths = {column: _widths(table, column) for columns in parts for column in columns}
    for attack, columns in zip(attacks, parts, strict=True):
        header = _header(attack, [(column.title, widths[column][-1]) for column in columns])
        grid.add_column(header, no_wrap=True, min_width=max(cell_len(line) for line in header.plain.splitlines()))
    for group in table.groups:
        for number, row in enumerate(group.rows):
            texts = [printable(name) for name in label_cells(table, "" if number else group.student, row)]
            numbers = [
                Text("  ").join(_number(row, column, *widths[column]) for column in columns) for columns in parts
            ]
            grid.add_row(*map(Text, texts), *numbers, style="dim" if row.kind == "teacher" else "")
        grid.add_section()
    return grid


def _widths(table: ResultTable, column: Column) -> tuple[int, int, int]:
    """Widest mean, widest rest, and width of a column with its title."""
    mean = max(cell_len(row.cells[column].text) for row in table.rows)
    rest = max(cell_len(_rest(row, column)) for row in table.rows)
    return mean, rest, max(mean + rest, cell_len(column.title))


def _rest(row: Row, column: Column) -> str:
    """What stands behind the mean."""
    return row.uncertainty(column) + (TIED if row.cells[column].mark == "tied" else "")


def _number(row: Row, column: Column, mean: int, rest: int, width: int) -> Text:
    """A cell at its column's width, marked; numbers stand below each other at the decimal point."""
    cell, blank = row.cells[column], width - mean - rest
    text = Text(" " * (blank // 2 + mean - cell_len(cell.text)))
    text.append(cell.text + _rest(row, column), STYLES[cell.mark] if cell.mean is not None else "dim")
    text.append(" " * (width - text.cell_len))
    return text


def _header(attack: str, columns: Sequence[tuple[str, int]]) -> Text:
    """An attack's name above a rule above the titles of its metrics, each centred in its width."""
    total = sum(width for _, width in columns) + 2 * (len(columns) - 1)
    name = printable(attack_title(attack))
    titles = "  ".join(title.center(width) for title, width in columns)
    text = Text(" " * max(0, (total - cell_len(name)) // 2))
    text.append(name, "bold")
    text.append("\n" + "─" * total, "dim")
    text.append("\n" + titles)
    return text


def _caption(table: ResultTable, marks: bool) -> list[Text]:
    """What the numbers and marks mean, then warnings and notes."""
    lines = [Text(printable(line), style="dim") for line in table.legend]
    meaning = LEGEND.styled(sentence(table)) if marks else sentence_for_plain_text(table)
    if meaning:
        lines.append(Text.from_markup(meaning, style="dim"))
    lines += [Text(f"Warning. {printable(text)}", style="bold yellow") for text in table.warnings]
    lines += [Text(f"Note. {printable(text)}", style="dim") for text in table.notes]
    return lines
