"""How what is printed stands in a paper: how wide it is set, and the floats around it with caption, label and notes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from dfrd_bench.reporting.escaping import escape_latex, printable
from dfrd_bench.reporting.tables.layout import TIED

Notes = Literal["below", "caption", "none"]
NARROW, WIDE = 239.0, 505.0  # points: a column and the text of a page with two, 3.3 and 7 inches
SIZES = (("footnotesize", 8.0), ("scriptsize", 7.0))  # of a document in 10 points
SEPARATION = 2.0  # points on either side of a column
EM = {".": 0.32, ",": 0.32, " ": 0.39, "-": 0.39, "(": 0.45, ")": 0.45, "[": 0.32, "]": 0.32, "±": 0.9, TIED: 0.45}
DIGIT, CAPITAL, OTHER = 0.58, 0.83, 0.62  # widths in units of the font's size, of Computer Modern at 7 points
CAPITALS = re.compile("[A-ZΑ-Ω%∞↑↓+−=‡]")


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

    @property
    def preamble(self) -> str:
        """A comment that says what a document needs."""
        notes = r", \usepackage{threeparttable}" if self.notes == "below" else ""
        return rf"% Needs \usepackage{{booktabs}}{notes} in the preamble."

    def name(self, own: str, number: int) -> str:
        """The label of a float.

        Args:
            own: its label if nothing else is wanted, without what tells apart the floats that share it.
            number: how many share it before this one; of a label that is wanted, all floats do.
        """
        return (f"tab:{own}" if self.label is None else self.label) + (f"-{number + 1}" if number else "")


@dataclass(frozen=True)
class Float:
    """What stands in one or several floats.

    Attributes:
        titles: of each, plain text for its caption unless another is wanted; one that goes on has that of the one before.
        names: the label of each.
        tabulars: the lines of each.
        size: of the type, by LaTeX's name.
        explained: what the numbers mean, as LaTeX.
        notes: plain text, for comments in the source.
    """

    titles: Sequence[str]
    names: Sequence[str]
    tabulars: Sequence[Sequence[str]]
    size: str
    explained: Sequence[str]
    notes: Sequence[str] = ()


def floats(content: Float, paper: Paper) -> Iterator[str]:
    """Lines of a `table` or `table*` for each tabular; the last of them has the notes."""
    kind, last = "table*" if paper.wide else "table", content.names[-1]
    explained = content.explained if paper.notes != "none" else ()
    before = None
    for title, name, tabular in zip(content.titles, content.names, content.tabulars, strict=True):
        caption = paper.caption or f"{escape_latex(title)}."
        caption, before = f"{caption} (Continued.)" if before == caption else caption, caption
        if paper.notes == "caption" and name == last:
            caption = " ".join([caption, *explained])
        elif explained and name != last:
            caption += rf" For notes see Table~\ref{{{last}}}."
        below = explained if paper.notes == "below" and name == last else ()
        yield from (f"% Note. {printable(note)}" for note in content.notes if name == last)
        yield rf"\begin{{{kind}}}[t]"
        yield rf"  \centering\{content.size}\setlength{{\tabcolsep}}{{{SEPARATION:g}pt}}"
        yield from [r"  \begin{threeparttable}"] if below else []
        yield rf"  \caption{{{caption}}}"
        yield rf"  \label{{{name}}}"
        yield from (f"  {line}" for line in tabular)
        if below:
            yield rf"  \begin{{tablenotes}}[flushleft]\{SIZES[-1][0]}"
            yield from (rf"    \item {sentence}" for sentence in below)
            yield r"  \end{tablenotes}"
            yield r"  \end{threeparttable}"
        yield rf"\end{{{kind}}}"


def text_width(text: str) -> float:
    """About how wide a text is, in units of its font's size; rather too wide than too narrow."""
    return sum(
        EM.get(c) or (DIGIT if c.isdigit() else CAPITAL if CAPITALS.match(c) else OTHER) for c in printable(text)
    )


def line_of(cells: Sequence[str]) -> str:
    """Cells, which are LaTeX, as a line of a tabular."""
    return " & ".join(cells) + r" \\"
