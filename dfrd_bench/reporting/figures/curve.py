"""The figure of accuracy against ε."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dfrd_bench.records.schema import Record
from dfrd_bench.reporting.escaping import plain_in_figures
from dfrd_bench.reporting.figures.captions import subject
from dfrd_bench.reporting.figures.style import COLUMN, canvas, headline, legend_below, look, percent, styled
from dfrd_bench.reporting.tables.comparability import level
from dfrd_bench.reporting.tables.layout import attack_title

if TYPE_CHECKING:
    from dfrd_bench.evaluation.curve import Curve

CURVE_FILE = "curve.png"


def curve_figure(record: Record, curve: Curve) -> Any:
    """Average and worst-class accuracy against ε, with the run's own ε marked; ε doubles from tick to tick.

    Args:
        record: of the run.
        curve: what was measured.

    Returns:
        A `matplotlib.figure.Figure` with one pair of axes.
    """
    eps = [point.eps for point in curve.points]
    series = {
        "average": [100 * point.average for point in curve.points],
        "worst class": [100 * point.worst_class for point in curve.points],
    }
    with styled():
        figure, ((axis,),) = canvas(width=COLUMN, height=2.6)
        for number, (name, values) in enumerate(series.items()):
            axis.plot(eps, values, label=name, clip_on=False, zorder=3, **look(number))
        axis.axvline(curve.eps, color="black", linewidth=0.9, linestyle=":", label=f"the run's ε = {level(curve.eps)}")
        # 0 has a place, as far from the next as doubling is
        axis.set_xscale("symlog", base=2, linthresh=eps[1], linscale=0.5)
        axis.set_xticks(eps, [level(value) for value in eps])
        axis.minorticks_off()
        axis.set_xlim(0, eps[-1])
        percent(axis)
        axis.set_xlabel("ε, radius of the L∞ ball")
        axis.set_ylabel(f"accuracy under {plain_in_figures(attack_title(curve.attack))} (%)")
        headline(figure, subject(record))
        legend_below(figure, axis, 3)
    return figure
