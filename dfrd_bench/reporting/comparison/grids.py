"""Writes a matrix of differences as plain text, Markdown, CSV or LaTeX."""

from __future__ import annotations

from collections.abc import Callable

from dfrd_bench.errors import unknown_name
from dfrd_bench.reporting.comparison.cells import grid_of, headers_of
from dfrd_bench.reporting.comparison.latex import to_latex
from dfrd_bench.reporting.comparison.matrix import Matrix
from dfrd_bench.reporting.escaping import cell, escape_markdown, printable
from dfrd_bench.reporting.paper import Paper


def render_matrix(matrix: Matrix, style: str = "terminal", paper: Paper | None = None) -> str:
    """The matrix as text that ends in a newline: under each attack and metric, row minus column.

    Args:
        matrix: from `compare_rows`.
        style: one of `STYLES`; "csv" has a line per pair, with intervals and p-values at full precision, and no sentences.
        paper: of LaTeX, how the tables are to stand there.

    Raises:
        DfrdBenchError: an unknown style.
    """
    if style not in STYLES:
        raise unknown_name("comparison format", style, STYLES)
    return STYLES[style](matrix, paper)


def _text(matrix: Matrix, *, markdown: bool) -> str:
    from tabulate import tabulate

    escape = escape_markdown if markdown else printable
    parts = [escape(matrix.head)]
    for column in matrix.means:
        lines = [list(map(escape, line)) for line in grid_of(matrix, column)]
        headers = list(map(escape, headers_of(matrix, column)))
        align = ["left", *["right"] * (len(headers) - 1)]
        lines = [line + [""] * (len(headers) - len(line)) for line in lines]
        style = "pipe" if markdown else "simple"
        parts.append(tabulate(lines, headers, tablefmt=style, disable_numparse=True, colalign=align))
    tail = [*matrix.notes, *(f"Warning. {text}" for text in matrix.warnings)]
    return "\n\n".join([*parts, ("  \n" if markdown else "\n").join(map(escape, tail))]) + "\n"


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


STYLES: dict[str, Callable[[Matrix, Paper | None], str]] = {
    "terminal": lambda matrix, _: _text(matrix, markdown=False),
    "markdown": lambda matrix, _: _text(matrix, markdown=True),
    "csv": lambda matrix, _: _csv(matrix),
    "latex": to_latex,
}
