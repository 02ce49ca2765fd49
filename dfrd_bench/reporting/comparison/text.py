"""Writes a comparison of two runs as plain text, Markdown or CSV."""

from __future__ import annotations

from dfrd_bench.errors import unknown_name
from dfrd_bench.reporting.comparison.differences import Comparison, Line
from dfrd_bench.reporting.escaping import cell, escape_markdown, printable
from dfrd_bench.reporting.tables.layout import UNDEFINED, Column, attack_title

HEADERS = ("Attack", "Metric", "A", "B", "A − B", "95% interval", "p", "", "McNemar p")
ALIGN = ("left", "left", "right", "right", "right", "right", "right", "left", "right")
STYLES = ("terminal", "markdown", "csv")


def render_comparison(comparison: Comparison, style: str = "terminal") -> str:
    """The comparison as text that ends in a newline.

    Args:
        comparison: from `compare_runs`.
        style: one of `STYLES`; "csv" gives fractions at full precision and no sentences.

    Raises:
        DfrdBenchError: an unknown style.
    """
    if style not in STYLES:
        raise unknown_name("comparison format", style, STYLES)
    return _csv(comparison) if style == "csv" else _text(comparison, markdown=style == "markdown")


def _text(comparison: Comparison, *, markdown: bool) -> str:
    from tabulate import tabulate

    escape = escape_markdown if markdown else printable
    rows, last = [], ""
    for line in comparison.lines:
        title = attack_title(line.column.attack)
        rows.append([escape(cell) for cell in ("" if title == last else title, *_cells(line))])
        last = title
    table = tabulate(rows, HEADERS, tablefmt="pipe" if markdown else "simple", disable_numparse=True, colalign=ALIGN)
    runs = [f"{run}: {name}" for run, name in zip("AB", comparison.marked_names, strict=True)]
    head = [
        *runs,
        f"{comparison.images} test images of {comparison.dataset}, the same for both. NSD ↓: lower is fairer.",
    ]
    tail = [*comparison.conclusions(), *(f"Warning. {text}" for text in comparison.warnings)]
    between = "  \n" if markdown else "\n"
    return "\n\n".join([between.join(map(escape, head)), table, between.join(map(escape, tail))]) + "\n"


def _cells(line: Line) -> tuple[str, ...]:
    column, difference = line.column, line.difference
    interval = difference.interval
    return (
        column.title,
        UNDEFINED if line.a is None else column.show(line.a),
        UNDEFINED if line.b is None else column.show(line.b),
        UNDEFINED if difference.value is None else signed(column, difference.value),
        UNDEFINED if interval is None else f"[{', '.join(signed(column, bound) for bound in interval)}]",
        _p(difference.p),
        "**" if line.significant_after_holm else "*" if line.significant else "",
        "" if line.mcnemar is None else _p(line.mcnemar),
    )


def signed(column: Column, value: float) -> str:
    """A difference as a column shows its values, with its sign; zero has none."""
    text = column.show(value)
    if not float(text):
        return text.removeprefix("-")
    return text.replace("-", "−") if value < 0 else f"+{text}"


def _p(value: float | None) -> str:
    if value is None:
        return UNDEFINED
    return "<0.0001" if value < 0.0001 else f"{value:.4f}"


def _csv(comparison: Comparison) -> str:
    import pandas as pd

    rows = []
    for line in comparison.lines:
        low, high = line.difference.interval or (None, None)
        rows.append(
            {
                **{"attack": cell(line.column.attack), "metric": line.column.metric, "a": line.a, "b": line.b},
                **{"difference": line.difference.value, "low": low, "high": high},
                **{"p": line.difference.p, "p_holm": line.holm, "p_mcnemar": line.mcnemar},
                **{"significant": line.significant, "significant_after_holm": line.significant_after_holm},
            }
        )
    return pd.DataFrame(rows).to_csv(index=False)
