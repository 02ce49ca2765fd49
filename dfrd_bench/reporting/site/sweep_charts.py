"""What the charts of accuracy against ε look like."""

from __future__ import annotations

from typing import Any

from dfrd_bench.reporting.site.look import CHARTS_HEIGHT, FAINT, FIT, SERIES, chosen, rows

SOLID, DASHED = [1, 0], [6, 3]


def epsilon(alt: Any) -> Any:
    """A line for each row of a board; of more rows than colours the further ones are dashed."""
    tip = [
        alt.Tooltip("name:N", title="Row"),
        alt.Tooltip("level:N", title="ε"),
        *(alt.Tooltip(f"{f}:Q", title=t) for f, t in (("average", "Average"), ("worst", "Worst class"))),
        alt.Tooltip("seeds:Q", title="Seeds"),
    ]
    dashes = [SOLID] * len(SERIES) + [DASHED] * len(SERIES)
    drawn = _lines(alt, rows(alt), "average", dashes, tip)
    return drawn.properties(width="container", height=CHARTS_HEIGHT, autosize=FIT, usermeta={"entry": 400})


def run_epsilon(alt: Any) -> Any:
    """Average and worst class of one run."""
    tip = [
        alt.Tooltip("name:N", title="Accuracy"),
        alt.Tooltip("level:N", title="ε"),
        alt.Tooltip("value:Q", title="%"),
    ]
    base = rows(alt).transform_filter("datum.attack == attack")
    drawn = _lines(alt, base, "value", [SOLID, DASHED], tip)
    return drawn.add_params(chosen(alt)).properties(
        width="container", height=260, autosize=FIT, usermeta={"entry": 150}
    )


def _lines(alt: Any, base: Any, value: str, dashes: list[list[int]], tip: Any) -> Any:
    """Lines over ε, which doubles from place to place, and a rule at the runs' own."""
    x = alt.X(
        "level:O",
        title="ε, radius of the L∞ ball",
        sort=None,
        scale=alt.Scale(padding=0.2),
        axis=alt.Axis(labelAngle=0, labelOverlap=True),
    )
    y = alt.Y(f"{value}:Q", title="Accuracy (%)", scale=alt.Scale(domain=[0, 100]))
    symbol = alt.Legend(
        symbolType="stroke", symbolSize=300
    )  # the same for both channels, so that they share one legend
    look = {
        "color": alt.Color("name:N", sort=None, scale=alt.Scale(range=SERIES), legend=symbol),
        "strokeDash": alt.StrokeDash("name:N", sort=None, scale=alt.Scale(range=dashes), legend=symbol),
    }
    own = base.transform_filter("datum.own").mark_rule(color=FAINT, strokeDash=[2, 3]).encode(x=x)
    lines = base.mark_line(strokeWidth=2).encode(x=x, y=y, **look)
    points = base.mark_point(filled=True, size=45, opacity=1).encode(x=x, y=y, tooltip=tip, **look)
    return alt.layer(lines, points, own)  # the first says in which order ε goes
