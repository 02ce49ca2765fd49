"""What each kind of chart looks like: Vega-Lite, made by Altair once for all pages; every page brings its own numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.reporting.site.labels import AWAY, SIDES
from dfrd_bench.reporting.site.look import (
    CHARTS_HEIGHT,
    CONFIG,
    FAINT,
    FIRST,
    FIT,
    PAPER,
    SECOND,
    SERIES,
    THIRD,
    chosen,
    rows,
)
from dfrd_bench.reporting.site.sweep_charts import epsilon, run_epsilon

WITHOUT = 'The report needs what `pip install "dfrd-bench[report]"` installs: {name} is missing.'


def specifications() -> dict[str, dict[str, Any]]:
    """Every kind of chart by name, as Vega-Lite whose data is called "rows".

    Raises:
        DfrdBenchError: Altair is not installed.
    """
    try:
        import altair as alt
    except ImportError as error:
        raise DfrdBenchError(WITHOUT.format(name=error.name)) from error
    kinds: dict[str, Callable[[Any], Any]] = {
        **{"plane": _plane, "hidden": _hidden, "cost": _cost, "classes": _classes},
        **{"epsilon": epsilon, "run-epsilon": run_epsilon},
        **{"run-classes": _run_classes, "confusion": _confusion, "curves": _curves, "family": _family},
    }
    made = {}
    for name, draw in kinds.items():
        chart = draw(alt).configure(**CONFIG).to_dict()
        chart.pop("$schema")  # an address, which nothing here needs
        made[name] = chart
    return made


def _kinds(alt: Any, domain: list[str], colours: list[str], shapes: list[str]) -> tuple[Any, Any]:
    colour = alt.Color("kind:N", scale=alt.Scale(domain=domain, range=colours))
    return colour, alt.Shape("kind:N", scale=alt.Scale(domain=domain, range=shapes))


def _plane(alt: Any) -> Any:
    """Average against worst class, with both intervals."""
    colour, shape = _kinds(
        alt,
        ["Teacher", "Unbeaten", "Beaten"],
        [SECOND, FIRST, FAINT],
        ["diamond", "circle", "circle"],
    )
    x = alt.X("x:Q", title="Average accuracy (%)", scale=alt.Scale(zero=False, padding=24, nice=False))
    y = alt.Y("y:Q", title="Worst class (%)", scale=alt.Scale(zero=False, padding=24, nice=False))
    tip = [
        alt.Tooltip("name:N", title="Row"),
        *(alt.Tooltip(f"{f}:Q", title=t) for f, t in (("x", "Average"), ("y", "Worst"))),
        *(
            alt.Tooltip(f"{f}:Q", title=t)
            for f, t in (("x1", "Average from"), ("x2", "to"), ("y1", "Worst from"), ("y2", "to "))
        ),
    ]
    base = rows(alt)
    across = base.mark_rule(opacity=0.45, strokeWidth=1.5).encode(x=alt.X("x1:Q"), x2="x2:Q", y=y, color=colour)
    down = base.mark_rule(opacity=0.45, strokeWidth=1.5).encode(y=alt.Y("y1:Q"), y2="y2:Q", x=x, color=colour)
    points = base.mark_point(filled=True, size=90, opacity=1).encode(x=x, y=y, color=colour, shape=shape, tooltip=tip)
    return alt.layer(across, down, points, *_names(alt, base, x, y)).properties(
        width="container", height=CHARTS_HEIGHT, autosize=FIT
    )


def _hidden(alt: Any) -> Any:
    """PGD-20 against AutoAttack: below the line is what PGD-20 saw and AutoAttack broke."""
    colour, shape = _kinds(
        alt, ["Teacher", "Flattered ‡", "Not flattered"], [SECOND, THIRD, FIRST], ["diamond", "triangle-up", "circle"]
    )
    x = alt.X("x:Q", title="PGD-20 (%)", scale=alt.Scale(domain=[0, 100]), axis=alt.Axis(tickCount=5))
    y = alt.Y("y:Q", title="AutoAttack (%)", scale=alt.Scale(domain=[0, 100]), axis=alt.Axis(tickCount=5))
    tip = [
        alt.Tooltip("name:N", title="Row"),
        alt.Tooltip("x:Q", title="PGD-20"),
        alt.Tooltip("y:Q", title="AutoAttack"),
        alt.Tooltip("gap:Q", title="Difference"),
    ]
    base = rows(alt)
    ends = alt.Data(values=[{"a": 0, "b": 0, "c": -10}, {"a": 100, "b": 100, "c": 90}])
    equal = alt.Chart(ends).mark_line(color=FAINT, strokeWidth=1).encode(x="a:Q", y="b:Q")
    ten = alt.Chart(ends).mark_line(color=FAINT, strokeWidth=1, strokeDash=[4, 4], clip=True).encode(x="a:Q", y="c:Q")
    points = base.mark_point(filled=True, size=90, opacity=1).encode(x=x, y=y, color=colour, shape=shape, tooltip=tip)
    return alt.layer(equal, ten, points, *_names(alt, base, x, y)).properties(
        width="container", height=CHARTS_HEIGHT, autosize=FIT
    )


def _cost(alt: Any) -> Any:
    """Minutes of training against robust accuracy."""
    tip = [
        alt.Tooltip("name:N", title="Row"),
        alt.Tooltip("x:Q", title="Minutes"),
        alt.Tooltip("y:Q", title="Average"),
        alt.Tooltip("device:N", title="Device"),
    ]
    base = rows(alt)
    x = alt.X(
        "x:Q",
        title="Training, minutes",
        axis=alt.Axis(tickCount=5, labelOverlap="greedy"),
        scale=alt.Scale(type="log", nice=False, padding=20),
    )
    y = alt.Y("y:Q", title="Average accuracy (%)", scale=alt.Scale(zero=True))
    colour = alt.Color("device:N", scale=alt.Scale(range=SERIES))
    points = base.mark_point(filled=True, size=90, opacity=1).encode(x=x, y=y, color=colour, tooltip=tip)
    return alt.layer(points, *_names(alt, base, x, y)).properties(width="container", height=CHARTS_HEIGHT, autosize=FIT)


def _names(alt: Any, base: Any, x: Any, y: Any) -> list[Any]:
    """The points' names, each on its side, see `labels`."""
    found = []
    for side in SIDES:
        across, up = side.split("-")
        mine = alt.condition(f"datum.side == '{side}'", alt.Text("label:N"), alt.value(""))
        text = base.mark_text(
            align="left" if across == "right" else "right",
            dx=AWAY if across == "right" else -AWAY,
            dy=-AWAY if up == "up" else AWAY,
            baseline="middle",
        )
        found.append(text.encode(x=x, y=y, text=mine))
    return found


def _heat(alt: Any, x: Any, y: Any, value: str, tip: Any, text: str | None) -> Any:
    """A map of shares, with a number in each cell that can be read on it."""
    base = rows(alt).encode(x=x, y=y)
    colour = alt.Color(f"{value}:Q", scale=alt.Scale(scheme="blues", domain=[0, 100]), legend=None)
    cells = base.mark_rect(stroke=PAPER, strokeWidth=1).encode(color=colour, tooltip=tip)
    if text is None:
        return cells
    dark = alt.condition(f"datum.{value} > 55", alt.value("white"), alt.value("#10233f"))
    return cells + base.mark_text(fontSize=11).encode(text=alt.Text(f"{text}:Q", format=".0f"), color=dark)


def _classes(alt: Any) -> Any:
    """A row per row of the board, a column per class."""
    tip = [
        *(alt.Tooltip(f"{f}:N", title=t) for f, t in (("row", "Row"), ("class", "Class"), ("attack", "Attack"))),
        alt.Tooltip("value:Q", title="Accuracy (%)"),
    ]
    x = alt.X("class:N", title="Class", sort=None, axis=alt.Axis(labelAngle=0, orient="top", labelOverlap=True))
    y = alt.Y("row:N", title=None, sort=None)
    chart = _heat(alt, x, y, "value", tip, "value")
    return (
        chart.add_params(chosen(alt))
        .transform_filter("datum.attack == attack")
        .properties(
            width="container",
            usermeta={"step": 26, "by": "row", "across": "class", "cell": 30, "beside": 200},
            autosize=FIT,
        )
    )


def _run_classes(alt: Any) -> Any:
    """Bars of every class, side by side under every attack."""
    tip = [
        *(alt.Tooltip(f"{f}:N", title=t) for f, t in (("class", "Class"), ("attack", "Attack"))),
        alt.Tooltip("value:Q", title="Accuracy (%)"),
    ]
    return (
        rows(alt)
        .mark_bar()
        .encode(
            x=alt.X("class:N", title="Class", sort=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            xOffset=alt.XOffset("attack:N", sort=None),
            y=alt.Y("value:Q", title="Accuracy (%)", scale=alt.Scale(domain=[0, 100])),
            color=alt.Color("attack:N", sort=None, scale=alt.Scale(range=SERIES), legend=alt.Legend(columns=3)),
            tooltip=tip,
        )
        .properties(width="container", height=260, autosize=FIT)
    )


def _confusion(alt: Any) -> Any:
    """True class by predicted class."""
    tip = [
        *(alt.Tooltip(f"{f}:N", title=t) for f, t in (("true", "True class"), ("taken", "Taken for"))),
        alt.Tooltip("count:Q", title="Images"),
        alt.Tooltip("share:Q", title="Of the class (%)"),
    ]
    x = alt.X("taken:N", title="Taken for", sort=None, axis=alt.Axis(labelAngle=0, orient="top", labelOverlap=True))
    y = alt.Y("true:N", title="True class", sort=None)
    return (
        _heat(alt, x, y, "share", tip, "count")
        .add_params(chosen(alt))
        .transform_filter("datum.attack == attack")
        .properties(
            width="container",
            usermeta={"step": 28, "by": "true", "across": "taken", "cell": 24, "beside": 70},
            autosize=FIT,
        )
    )


def _curves(alt: Any) -> Any:
    """Each number of the history in a small chart of its own, on its own scale."""
    return (
        rows(alt)
        .mark_line(color=FIRST, strokeWidth=2)
        .encode(
            x=alt.X("epoch:Q", title=None, axis=alt.Axis(tickCount=4, grid=False)),
            y=alt.Y("value:Q", title=None, axis=alt.Axis(tickCount=3), scale=alt.Scale(zero=False)),
            tooltip=[alt.Tooltip("series:N"), alt.Tooltip("epoch:Q"), alt.Tooltip("value:Q")],
        )
        .properties(width=220, height=90)
        .facet(facet=alt.Facet("series:N", title=None, sort=None), columns=4, bounds="flush", spacing=44)
        .resolve_scale(y="independent")
        .properties(usermeta={"panel": 268})
    )


def _family(alt: Any) -> Any:
    """Class weights over epochs."""
    tip = [alt.Tooltip("series:N", title="Class"), alt.Tooltip("epoch:O"), alt.Tooltip("value:Q")]
    return (
        rows(alt)
        .mark_rect()
        .encode(
            x=alt.X("epoch:O", title="Epoch", axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("series:N", title="Class", sort=None),
            color=alt.Color(
                "value:Q", scale=alt.Scale(scheme="viridis"), legend=alt.Legend(title=None, orient="right")
            ),
            tooltip=tip,
        )
        .properties(width="container", usermeta={"step": 18, "by": "series"}, autosize=FIT)
    )
