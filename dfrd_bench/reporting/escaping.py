"""Text from records and plugins, made safe for the format it is printed in."""

from __future__ import annotations

import html
import re

_LATEX = str.maketrans(
    {
        **{c: f"\\{c}" for c in "&%$#_{}"},
        **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
        **{"<": "$<$", ">": "$>$", "|": "$|$", "±": r"$\pm$", "∞": r"$_\infty$", "ε": r"$\varepsilon$"},
        **{
            "↑": r"$\uparrow$",
            "↓": r"$\downarrow$",
            "–": r"\textendash{}",
            "·": r"$\cdot$",
            "×": r"$\times$",
            "†": r"$^\dagger$",
            "‡": r"$^\ddagger$",
            "§": r"\S{}",
            "¶": r"\P{}",
            "°": r"$^\circ$",
            "²": "$^2$",
            "−": "$-$",
            "…": r"\ldots{}",
            "≥": r"$\geq$",
            '"': "''",
            "`": r"\textasciigrave{}",
        },
    }
)


FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet's formula begins with
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def printable(text: str) -> str:
    """The text without characters that could move a terminal's cursor or break a table's row."""
    return "".join(c if c.isprintable() else " " for c in text)


def cell(value: object) -> object:
    """A cell of a CSV file, so that no spreadsheet takes a text for a formula; numbers stay numbers."""
    formula = isinstance(value, str) and value[:1] in FORMULA and not NUMBER.fullmatch(value)
    return f"'{value}" if formula else value


def plain_in_figures(text: str) -> str:
    """The text so that a figure shows it as it is, and does not read what stands between dollars as a formula."""
    return printable(text).replace("$", r"\$")


def escape_latex(text: str) -> str:
    """The text with every character LaTeX would read as a command, or could not set, replaced."""
    return printable(text).translate(_LATEX).replace("--", "-{}-")


def escape_markdown(text: str) -> str:
    """The text with every character Markdown would read as markup escaped."""
    return re.sub(r"([\\`*_\[\]<>|~&#])", r"\\\1", printable(text))


def escape_html(text: str) -> str:
    """The text with `&`, `<`, `>` and quotes as entities."""
    return html.escape(printable(text))
