"""The figure of several runs' synthetic images side by side (as FERD's figures 6, 7 and 10)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.schema import Record
from dfrd_bench.reporting.escaping import plain_in_figures
from dfrd_bench.reporting.evidence import Run
from dfrd_bench.reporting.figures.samples import SAMPLES_FILE, Samples, load_samples, mosaic
from dfrd_bench.reporting.figures.style import PAGE, SMALL, TITLE_ROW, canvas, headline, styled, wrapped
from dfrd_bench.reporting.tables.layout import Row
from dfrd_bench.reporting.tables.naming import with_short_numbers

ACROSS = 7  # runs in a row of panels
TITLE_GAP = 0.08  # inches between the titles of two panels


def beside_figure(parts: Sequence[tuple[str, Samples]], record: Record, *, columns: int = 4, rows: int = 10) -> Any:
    """A panel per run; in each a row per class, the teacher's most confident images first. Empty: no image of that class.

    Args:
        parts: what each panel is called, and its images.
        record: of one of the runs: whose classes they are.
        columns: images per class.
        rows: classes: those of which most runs have images, in order.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    names = record.dataset.info.class_names
    counts = np.array([np.bincount(samples.classes, minlength=len(names)) for _, samples in parts])
    often = np.argsort(-np.minimum(counts, columns).sum(axis=0), kind="stable")
    shown = sorted(often[:rows].tolist())
    across = min(ACROSS, len(parts))
    down = -(-len(parts) // across)
    panel = min(2.2, (PAGE - 0.6) / across)
    titles = [wrapped(label, panel - TITLE_GAP) for label, _ in parts]
    further = sum(max(title.count("\n") for title in titles[k : k + across]) for k in range(0, len(parts), across))
    height = down * (panel * len(shown) / columns + 0.2) + 0.3 + TITLE_ROW * further
    with styled():
        figure, grid = canvas(down, across, width=min(PAGE, panel * across + 0.7), height=height)
        axes = list(grid.flat)
        for place, (axis, title, (_, samples)) in enumerate(zip(axes, titles, parts, strict=False)):
            picture, middles = mosaic(samples, shown, columns)
            axis.imshow(picture, interpolation="nearest")
            axis.set_title(title, fontsize=SMALL)
            axis.set_xticks([])
            first = place % across == 0
            axis.set_yticks(middles, [plain_in_figures(names[k]) for k in shown] if first else [""] * len(shown))
            axis.tick_params(length=0)
            axis.spines[:].set_visible(False)
        for axis in axes[len(parts) :]:
            axis.set_visible(False)
        spec = record.spec
        headline(
            figure,
            plain_in_figures(f"synthetic images by the class that {spec.teacher.name} gives them; {spec.dataset}"),
        )
    return figure


def kept_images(rows: Sequence[Row], runs: Sequence[Run]) -> list[tuple[str, Samples]]:
    """Of each row of a table the images that its first run kept which has any, under the row's label.

    Raises:
        DfrdBenchError: none of them kept any, or they are damaged.
    """
    where = {id(record): Path(folder) for folder, record in runs}
    found = []
    for row in rows:
        places = [(where[id(record)], record) for record in row.records if id(record) in where]
        kept = next(((place, record) for place, record in places if (place / SAMPLES_FILE).exists()), None)
        if kept is not None:
            found.append((plain_in_figures(with_short_numbers(row.label)), load_samples(kept[0], kept[1].dataset.info)))
    if not found:
        raise DfrdBenchError(
            f"None of these runs kept synthetic images ({SAMPLES_FILE}): methods that see the training images keep none."
        )
    return found
