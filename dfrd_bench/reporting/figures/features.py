"""The figure of a teacher's features of real and of synthetic images, in the plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dfrd_bench.records.schema import Record
from dfrd_bench.reporting.escaping import plain_in_figures
from dfrd_bench.reporting.figures.captions import who
from dfrd_bench.reporting.figures.style import COLOURS, MARKERS, PAGE, canvas, headline, letters, styled

if TYPE_CHECKING:
    from dfrd_bench.evaluation.features import Features

APART = 10  # classes up to which each has a marker and a colour
GHOST = "0.78"
NAMES = {"pca": ("first principal component", "second principal component"), "tsne": ("t-SNE", "t-SNE")}


def features_figure(record: Record, features: Features, points: NDArray[np.float64], projection: str) -> Any:
    """(a) The real images by class, (b) the run's synthetic ones by the teacher's class, with the real ones in grey behind.

    Args:
        record: of the run that kept the synthetic images.
        features: whose points they are: first the real, then the synthetic images.
        points: of both in the plane [N + M, 2].
        projection: how they came there: "pca" or "tsne".

    Returns:
        A `matplotlib.figure.Figure`. With more than ten classes all are alike.
    """
    names = [plain_in_figures(name) for name in record.dataset.info.class_names]
    real, synthetic = points[: len(features.real)], points[len(features.real) :]
    with styled():
        figure, (axes,) = canvas(1, 2, width=PAGE, height=3.2, sharex=True, sharey=True)
        axes[1].plot(*real.T, marker=".", linestyle="", color=GHOST, markersize=2.5, zorder=1)
        for axis, places, classes in ((axes[0], real, features.labels), (axes[1], synthetic, features.classes)):
            for number, name in enumerate(names if len(names) <= APART else [""]):
                chosen = places[classes == number] if len(names) <= APART else places
                axis.plot(
                    *chosen.T,
                    linestyle="",
                    marker=f"${name}$" if _is_sign(name) else MARKERS[number % len(MARKERS)],
                    color=COLOURS[number % len(COLOURS)],
                    markersize=4.5,
                    markeredgewidth=0.3,
                    label=name,
                )
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(True)
        axes[0].set_title(f"real: {len(real)} test images of {plain_in_figures(record.spec.dataset)}")
        axes[1].set_title(f"synthetic: {len(synthetic)} images of {who(record)} (grey: the real)")
        for axis in axes:
            axis.set_xlabel(NAMES[projection][0])
        axes[0].set_ylabel(NAMES[projection][1])
        letters(axes)
        if len(names) <= APART and not all(map(_is_sign, names)):
            handles, labels = axes[0].get_legend_handles_labels()
            figure.legend(
                handles, labels, loc="outside lower center", ncols=len(labels), handletextpad=0.2, title="class"
            )
        headline(figure, f"features of teacher {plain_in_figures(record.spec.teacher.name)}")
    return figure


def _is_sign(name: str) -> bool:
    """Whether a class is called by one letter or digit, which can be its own marker."""
    return len(name) == 1 and name.isascii() and name.isalnum()
