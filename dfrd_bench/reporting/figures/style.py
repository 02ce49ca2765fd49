"""One design of all figures: sizes for a printed column, fonts legible there, colours, markers, lines and hatches."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dfrd_bench.reporting.tables.layout import FLATTERED

COLUMN, PAGE = 3.35, 6.9  # inches: one column of a paper in two columns, and both
LEAST, SMALL, USUAL = 5, 7, 8  # points; figures are drawn at the size of print
RULES: dict[str, Any] = {
    **{"font.size": USUAL, "axes.titlesize": USUAL, "axes.labelsize": USUAL, "figure.titlesize": USUAL},
    **{"xtick.labelsize": SMALL, "ytick.labelsize": SMALL, "legend.fontsize": SMALL, "legend.frameon": False},
    **{"lines.linewidth": 1.2, "lines.markersize": 4.0, "axes.linewidth": 0.6, "hatch.linewidth": 0.6},
    **{"xtick.major.width": 0.6, "ytick.major.width": 0.6, "axes.spines.top": False, "axes.spines.right": False},
    **{"errorbar.capsize": 1.5, "grid.color": "0.88", "grid.linewidth": 0.6, "axes.axisbelow": True},
    **{"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "dfrd-bench"},
}
"""Fonts are embedded as TrueType, which publishers ask for; the same figure gives the same file."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D")
"""Okabe and Ito's, without yellow, which print loses, and with a violet; no two alike to the colour-blind."""
TEACHER = "#000000"
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
LINES: tuple[Any, ...] = ("-", "--", "-.", (0, (1, 1)))
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++", "----")
SHADES = "Blues"  # of matrices: from white to dark, the same in grey
HEIGHTS = "cividis"  # of landscapes: made for the colour-blind, and its lightness grows evenly
LETTERS_PER_INCH = 17  # of usual size
IN_A_PANEL = 10  # entries of a legend that fit under each other in the place of a panel
BREAKS = re.compile(r"(?<=[+=,_ ])")  # where a name may go on in the next line
ABOUT_FLATTERED = "‡ flattered by PGD"
LETTER, HANDLE = 0.055, 0.62  # inches of a legend: a letter of its text, and what stands before that
TITLE_ROW = 0.14  # inches that a further row of a title takes
LEGEND_ROW = 0.17  # inches that a row of a legend takes


@contextmanager
def styled() -> Iterator[None]:
    """While it lasts, what Matplotlib draws follows the rules above."""
    import matplotlib

    rules: Any = RULES  # whose keys Matplotlib's types spell out
    with matplotlib.rc_context(rules):
        yield


def canvas(
    rows: int = 1, columns: int = 1, *, width: float = COLUMN, height: float = 2.4, **kwargs: Any
) -> tuple[Any, Any]:
    """An empty figure at the size of print, and its axes [rows, columns].

    Args:
        rows: of axes.
        columns: of axes.
        width: of the figure, in inches.
        height: likewise.
        kwargs: those of `Figure.subplots`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **kwargs)


def look(number: int) -> dict[str, Any]:
    """Colour, marker and line of the number-th series; every series has another combination, in grey too."""
    return {
        "color": COLOURS[number % len(COLOURS)],
        "marker": MARKERS[number % len(MARKERS)],
        "linestyle": LINES[number % len(LINES)],
    }


def bar_look(number: int) -> dict[str, Any]:
    """Fill and hatch of the number-th bar of a group; 49 have another combination each."""
    hatch = (number + number // len(COLOURS)) % len(HATCHES)
    return {
        "facecolor": COLOURS[number % len(COLOURS)],
        "hatch": HATCHES[hatch],
        "edgecolor": "white" if hatch else COLOURS[number % len(COLOURS)],
        "linewidth": 0,
    }


def teacher_look() -> dict[str, Any]:
    """The teacher's line: black, thicker than any other, without markers."""
    return {"color": TEACHER, "linewidth": 1.8, "linestyle": "-", "zorder": 1.5}


def legend_below(figure: Any, axis: Any, columns: int = 4, *, inside: Any = None) -> None:
    """One legend for all axes: in the place of one that shows nothing, if it has room there; else under them.

    Args:
        figure: the figure.
        axis: whose labelled series it names.
        columns: in which its entries stand, under the axes.
        inside: axes that show nothing, where there are such.
    """
    from matplotlib.lines import Line2D

    handles, labels = axis.get_legend_handles_labels()
    if any(label.endswith(FLATTERED) for label in labels):
        handles, labels = [*handles, Line2D([], [], linestyle="")], [*labels, ABOUT_FLATTERED]
    across = 1 if inside is None else inside.get_subplotspec().get_gridspec().ncols
    beside = 1 if len(labels) <= IN_A_PANEL else 2
    wide = beside * _entry(labels) * across <= figure.get_size_inches()[0]
    if inside is not None and wide and len(labels) <= beside * IN_A_PANEL:
        inside.set_visible(True)
        inside.axis("off")
        inside.legend(handles, labels, loc="center", handlelength=2.6, ncols=beside)
    else:
        fitting_legend(figure, handles, labels, columns)


def fitting_legend(figure: Any, handles: Sequence[Any], labels: Sequence[str], columns: int) -> None:
    """A legend under all axes, in so many columns or as many as have room beside each other; the figure grows by its height."""
    width, height = figure.get_size_inches()
    columns = max(1, min(columns, int(width / _entry(labels)), len(labels)))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, handlelength=2.6)
    figure.set_size_inches(width, height + LEGEND_ROW * -(-len(labels) // columns))


def _entry(labels: Sequence[str]) -> float:
    """Inches that the longest entry of a legend takes."""
    return max(map(len, labels), default=0) * LETTER + HANDLE


def wrapped(name: str, width: float) -> str:
    """A name of small type on lines that are at most so many inches wide, broken behind the signs of a variant's."""
    lines = [""]
    for part in BREAKS.split(name):
        if lines[-1] and len((lines[-1] + part).rstrip()) * LETTER > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def panels(grid: Any, shown: int) -> tuple[list[Any], Any]:
    """The axes that show something, and the last of the others, which are hidden; None where there are none."""
    axes = list(grid.flat)
    for axis in axes[shown:]:
        axis.set_visible(False)
    return axes[:shown], axes[-1] if len(axes) > shown else None


def headline(figure: Any, text: str) -> None:
    """What a figure is of, above it; on several lines where it is longer than the figure is wide, which grows by them."""
    width, height = figure.get_size_inches()
    lines = textwrap.wrap(text, max(20, int(LETTERS_PER_INCH * width)), break_long_words=False, break_on_hyphens=False)
    figure.suptitle("\n".join(lines))
    figure.set_size_inches(width, height + TITLE_ROW * max(0, len(lines) - 1))


def percent(axis: Any) -> None:
    """Make the vertical axis one of accuracies in percent, with lines to read them by and room for markers at both ends."""
    axis.set_ylim(-2, 102)
    axis.set_yticks(range(0, 101, 20))
    axis.grid(axis="y")


def whole_epochs(axis: Any) -> None:
    """Make the horizontal axis one of epochs, which are whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    axis.set_xlabel("epoch")


def letters(axes: Sequence[Any]) -> None:
    """Put (a), (b), … before the titles of a figure's parts, as papers name them."""
    if len(axes) > 1:
        for letter, axis in zip("abcdefghijklmnopqrstuvwxyz", axes, strict=False):
            axis.set_title(f"({letter}) {axis.get_title()}")
