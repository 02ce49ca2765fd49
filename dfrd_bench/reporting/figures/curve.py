"""The figure of accuracy against ε."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dfrd_bench.records.schema import Record
from dfrd_bench.reporting.escaping import plain_in_figures
from dfrd_bench.reporting.figures.confusion import subject
from dfrd_bench.reporting.tables.comparability import level
from dfrd_bench.reporting.tables.layout import attack_title

if TYPE_CHECKING:
    from dfrd_bench.evaluation.curve import Curve

CURVE_FILE = "curve.png"
AVERAGE, WORST = "#0072B2", "#D55E00"  # of Okabe and Ito's palette; in grey, line and marker tell them apart


def curve_figure(record: Record, curve: Curve) -> Any:
    """Average and worst-class accuracy against ε, with the run's own ε marked; ε doubles from tick to tick.

    Args:
        record: of the run.
        curve: what was measured.

    Returns:
        A `matplotlib.figure.Figure` with one pair of axes.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axis: Any = figure.subplots()
    eps = [point.eps for point in curve.points]
    series = {
        "average": (AVERAGE, "o", "-", [100 * point.average for point in curve.points]),
        "worst class": (WORST, "s", "--", [100 * point.worst_class for point in curve.points]),
    }
    for name, (colour, marker, line, values) in series.items():
        axis.plot(eps, values, color=colour, marker=marker, linestyle=line, label=name, clip_on=False, zorder=3)
    axis.axvline(curve.eps, color="black", linewidth=0.9, linestyle=":", label=f"the run's ε = {level(curve.eps)}")
    axis.set_xscale(
        "symlog", base=2, linthresh=eps[1], linscale=0.5
    )  # 0 has a place, as far from the next as doubling is
    axis.set_xticks(eps, [level(value) for value in eps])
    axis.minorticks_off()
    axis.set_xlim(0, eps[-1])
    axis.set_ylim(0, 100)
    axis.set_xlabel("ε, radius of the L∞ ball")
    axis.set_ylabel(f"accuracy under {plain_in_figures(attack_title(curve.attack))} (%)")
    axis.grid(axis="y", color="0.9", linewidth=0.8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=9)
    axis.set_title(subject(record), fontsize=10)
    return figure
