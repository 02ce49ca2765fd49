"""The figure of the loss around one image, for one network or several (who hides gradients from attacks)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dfrd_bench.records.schema import Record
from dfrd_bench.reporting.escaping import plain_in_figures
from dfrd_bench.reporting.figures.captions import who
from dfrd_bench.reporting.figures.style import HEIGHTS, PAGE, SMALL, canvas, headline, letters, styled
from dfrd_bench.reporting.tables.comparability import level

if TYPE_CHECKING:
    from dfrd_bench.evaluation.landscape import Landscape

LEVELS = 12
SIDE = 2.3  # inches of a panel


def landscape_figure(seen: Sequence[tuple[Record, Landscape]], image: int) -> Any:
    """The cross-entropy over a square of ±ε around an image, brighter where higher, and where the network changes its mind.

    To the right along the sign of the gradient at the image, upwards along random signs; the cross in the middle is the image. A
    network whose gradient is of use to an attacker rises steadily to the right, alike at every height; ridges, or a rise that
    the middle does not see coming, lead attacks astray. Line: the border of the image's class; hatched: the network is wrong.

    Args:
        seen: the record of each network, and what was measured around the image.
        image: its place among the test images, for the title.

    Returns:
        A `matplotlib.figure.Figure`, a panel per network on one scale.
    """
    top = max(float(found.loss.max()) for _, found in seen)
    with styled():
        figure, (axes,) = canvas(1, len(seen), width=min(PAGE, SIDE * len(seen) + 0.9), height=SIDE + 0.5, sharey=True)
        for axis, (record, found) in zip(axes, seen, strict=True):
            shown = axis.contourf(
                found.steps, found.steps, found.loss, levels=np.linspace(0, max(top, 1e-6), LEVELS + 1), cmap=HEIGHTS
            )
            wrong = found.margin < 0
            if wrong.any() and not wrong.all():
                axis.contour(found.steps, found.steps, found.margin, levels=[0], colors="white", linewidths=1.6)
                axis.contour(found.steps, found.steps, found.margin, levels=[0], colors="black", linewidths=0.8)
            if wrong.any():
                lowest = min(float(found.margin.min()), -1e-9)
                axis.contourf(
                    found.steps, found.steps, found.margin, levels=[lowest, 0], colors="none", hatches=["////"]
                )
            axis.plot(0, 0, marker="+", color="white", markersize=8, markeredgewidth=2.4)
            axis.plot(0, 0, marker="+", color="black", markersize=7, markeredgewidth=1.0)
            axis.set_aspect("equal")
            axis.set_xticks([-1, 0, 1], ["−ε", "0", "ε"])
            axis.set_yticks([-1, 0, 1], ["−ε", "0", "ε"])
            axis.set_xlabel("along the gradient's sign")
            axis.set_title(who(record))
        axes[0].set_ylabel("along random signs")
        letters(axes)
        bar = figure.colorbar(shown, ax=list(axes), pad=0.02, aspect=25, format="%.2g")
        bar.set_label("cross-entropy", fontsize=SMALL)
        bar.outline.set_linewidth(0.6)
        record = seen[0][0]
        where = f"test image {image} of {record.spec.dataset}, class {seen[0][1].class_name}"
        headline(figure, plain_in_figures(f"{where}; ε = {level(record.spec.threat.eps)}, hatched: misclassified"))
    return figure
