"""Writes a matrix of differences as plain text, Markdown, CSV or LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from dfrd_bench.errors import unknown_name
from dfrd_bench.reporting.comparison.matrix import Matrix, Pair
from dfrd_bench.reporting.comparison.text import signed
from dfrd_bench.reporting.escaping import cell, escape_latex, escape_markdown, printable
from dfrd_bench.reporting.tables.layout import UNDEFINED, Column, attack_title


def render_matrix(matrix: Matrix, style: str = "terminal") -> str:
    """The matrix as text that ends in a newline: under each attack and metric, row minus column.

    Args:
        matrix: from `compare_rows`.
        style: one of `STYLES`; "csv" has a line per pair, with intervals and p-values at full precision, and no sentences.

    Raises:
        DfrdBenchError: an unknown style.
    """
    if style not in STYLES:
        raise unknown_name("comparison format", style, STYLES)
    return STYLES[style](matrix)


def _grid(matrix: Matrix, column: Column) -> Iterator[list[str]]:
    """A line per row: its name, its mean, and its difference to each row before it."""
    pairs = {(pair.first, pair.second): pair for pair in matrix.pairs if pair.column == column}
    for place, name in enumerate(matrix.rows):
        mean = matrix.means[column][place]
        before = [_shown(pairs[other, place]) for other in range(place)]
        yield [f"{place + 1} {name}", UNDEFINED if mean is None else column.show(mean), *before]


def _shown(pair: Pair) -> str:
    """Row minus column, that is, the later minus the earlier, with its mark."""
    value = pair.difference.value
    return UNDEFINED if value is None else signed(pair.column, -value) + pair.mark


def _head(matrix: Matrix) -> str:
    seeds = ", ".join(
        f"{name}: {', '.join(map(str, seeds))}" for name, seeds in zip(matrix.rows, matrix.seeds, strict=True)
    )
    return f"Row minus column, on {matrix.images} test images of {matrix.dataset}, the same for all. Seeds of {seeds}."


def _headers(matrix: Matrix, column: Column) -> list[str]:
    return [f"{attack_title(column.attack)} {column.title}", "mean", *map(str, range(1, len(matrix.rows)))]


def _text(matrix: Matrix, *, markdown: bool) -> str:
    from tabulate import tabulate

    escape = escape_markdown if markdown else printable
    parts = [escape(_head(matrix))]
    for column in matrix.means:
        lines = [list(map(escape, line)) for line in _grid(matrix, column)]
        headers = list(map(escape, _headers(matrix, column)))
        align = ["left", *["right"] * (len(headers) - 1)]
        lines = [line + [""] * (len(headers) - len(line)) for line in lines]
        style = "pipe" if markdown else "simple"
        parts.append(tabulate(lines, headers, tablefmt=style, disable_numparse=True, colalign=align))
    tail = [*matrix.notes, *(f"Warning. {text}" for text in matrix.warnings)]
    return "\n\n".join([*parts, ("  \n" if markdown else "\n").join(map(escape, tail))]) + "\n"


def _latex(matrix: Matrix) -> str:
    lines = [r"% Needs \usepackage{booktabs} in the preamble.", f"% {printable(_head(matrix))}"]
    lines += [f"% {printable(text)}" for text in (*matrix.notes, *matrix.warnings)]
    for column in matrix.means:
        headers = _headers(matrix, column)
        lines += [rf"\begin{{tabular}}{{l{'r' * (len(headers) - 1)}}}", r"  \toprule"]
        lines += [f"  {' & '.join(map(escape_latex, headers))} " + r"\\", r"  \midrule"]
        for line in _grid(matrix, column):
            cells = [escape_latex(text).replace("−", "$-$").replace("°", r"$^\circ$") for text in line]
            lines.append(f"  {' & '.join(cells + [''] * (len(headers) - len(cells)))} " + r"\\")
        lines += [r"  \bottomrule", r"\end{tabular}", ""]
    return "\n".join(lines)


def _csv(matrix: Matrix) -> str:
    import pandas as pd

    rows = []
    for pair in matrix.pairs:
        means, found = matrix.means[pair.column], pair.difference
        low, high = found.interval or (None, None)
        a, b = pair.first, pair.second
        rows.append(
            {
                **{"attack": cell(pair.column.attack), "metric": pair.column.metric},
                **{"a": cell(matrix.rows[a]), "b": cell(matrix.rows[b])},
                **{"seeds_a": len(matrix.seeds[a]), "seeds_b": len(matrix.seeds[b])},
                **{"mean_a": means[a], "mean_b": means[b], "difference": found.value, "low": low, "high": high},
                **{"p": found.p, "p_holm": pair.holm, "degrees": found.degrees, "over_seeds": found.over_seeds},
                **{"significant": "*" in pair.mark, "significant_after_holm": "**" in pair.mark},
            }
        )
    return pd.DataFrame(rows).to_csv(index=False)


STYLES: dict[str, Callable[[Matrix], str]] = {
    "terminal": lambda matrix: _text(matrix, markdown=False),
    "markdown": lambda matrix: _text(matrix, markdown=True),
    "csv": _csv,
    "latex": _latex,
}
