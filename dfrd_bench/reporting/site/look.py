"""What charts share: the page's colours, and how they fit into it."""

from __future__ import annotations

from typing import Any

INK, FAINT, LINE, PAPER = "var(--ink)", "var(--faint)", "var(--line)", "var(--paper)"
FIRST, SECOND, THIRD = "var(--chart-1)", "var(--chart-2)", "var(--chart-3)"
SERIES = [f"var(--chart-{number})" for number in range(1, 9)]
CHARTS_HEIGHT = 320
FIT = {"type": "fit-x", "contains": "padding"}
CONFIG = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        **{"labelColor": FAINT, "titleColor": FAINT, "gridColor": LINE, "domainColor": LINE, "tickColor": LINE},
        **{"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "labelLimit": 180, "gridWidth": 1},
    },
    "legend": {
        "labelColor": INK,
        "titleColor": FAINT,
        "labelFontSize": 12,
        "orient": "top",
        "title": None,
        "symbolOpacity": 1,
    },
    "header": {"labelColor": INK, "titleColor": FAINT, "labelFontSize": 12},
    "text": {"color": INK, "fontSize": 12},
}
"""Colours are the page's own variables, so that a chart follows its theme, and its print, without being drawn again."""


def rows(alt: Any) -> Any:
    """A chart of the page's own numbers."""
    return alt.Chart(alt.NamedData("rows"))


def chosen(alt: Any) -> Any:
    """The attack that a reader chose."""
    return alt.param(name="attack", value="")
