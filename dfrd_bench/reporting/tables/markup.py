"""How the formats mark, escape and caption what the rows of a table say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from dfrd_bench.reporting.escaping import escape_html, escape_latex, escape_markdown
from dfrd_bench.reporting.tables.layout import TIED, Column, ResultTable, Row
from dfrd_bench.reporting.tables.marks import sentence


@dataclass(frozen=True)
class Markup:
    """How one format escapes text and marks the best and second-best values."""

    escape: Callable[[str], str]
    best: str
    second: str

    def cell(self, row: Row, column: Column) -> str:
        """A cell's mean and its uncertainty, with its mark."""
        return self._marked(row, column, row.uncertainty(column))

    def value(self, row: Row, column: Column) -> str:
        """A cell's mean alone, with its mark."""
        return self._marked(row, column, "")

    def _marked(self, row: Row, column: Column, behind: str) -> str:
        cell = row.cells[column]
        text = self.escape(cell.text + behind)
        styles = {"best": self.best, "tied": self.best + self.escape(TIED), "second": self.second, None: "{}"}
        return styles[cell.mark].replace("{}", text)

    def styled(self, sentence: str) -> str:
        """The sentence about marks, in which each is named in capitals, with these names as the marks look."""
        bold = self.best.replace("{}", "bold")
        looks = {"BEST": bold, "TIED": bold + self.escape(TIED), "SECOND": self.second.replace("{}", "underlined")}
        return re.sub("|".join(looks), lambda found: looks[found[0]], sentence)

    def caption(self, table: ResultTable) -> Iterator[str]:
        """The sentences below a table, escaped: its legend, what the marks mean, warnings."""
        yield from map(self.escape, table.legend)
        if meaning := sentence(table):
            yield self.styled(self.escape(meaning))
        yield from (self.best.replace("{}", "Warning.") + f" {self.escape(text)}" for text in table.warnings)


def labels(table: ResultTable) -> tuple[str, ...]:
    """The titles of the columns left of the numbers."""
    sees = ("Sees",) if table.track == "both" else ()
    return ("Student", "Method", *sees, "Seeds") if table.several_seeds else ("Student", "Method", *sees)


def label_cells(table: ResultTable, student: str, row: Row) -> tuple[str, ...]:
    """The cells left of the numbers."""
    label = row.label + row.marks
    sees = (row.sees,) if table.track == "both" else ()
    return (student, label, *sees, str(len(row.seeds) or ""))[: len(labels(table))]


LATEX = Markup(escape_latex, r"\textbf{{}}", r"\underline{{}}")
MARKDOWN = Markup(escape_markdown, "**{}**", "<u>{}</u>")
HTML = Markup(escape_html, "<strong>{}</strong>", "<u>{}</u>")


def small_table(
    title: str, titles: Sequence[str], rows: Sequence[Sequence[str]], said: Iterable[str], *, markdown: bool
) -> str:
    """A table of a name and numbers in each row, a title above and lines below, as Markdown or plain text; ends in a newline.

    Args:
        title: as it is, not escaped.
        titles: of the columns, in the format's own letters, as the cells and lines are.
        rows: the cells.
        said: lines below.
        markdown: else for a terminal.
    """
    from tabulate import tabulate

    text = tabulate(
        rows,
        titles,
        tablefmt="pipe" if markdown else "simple",
        disable_numparse=True,
        colalign=["left", *["right"] * (len(titles) - 1)],
    )
    title = f"**{escape_markdown(title)}**" if markdown else title
    return f"{title}\n\n{text}\n\n" + ("<br>\n" if markdown else "\n").join(said) + "\n"
