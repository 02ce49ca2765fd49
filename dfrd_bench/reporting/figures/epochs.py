"""The figure of metrics over the epochs of a training, from the probes in its history (as FERD's figure 8)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.history import Series, read_history
from dfrd_bench.records.probes import METRICS, SOURCES, probe_key
from dfrd_bench.reporting.evidence import Run
from dfrd_bench.reporting.figures.captions import who
from dfrd_bench.reporting.figures.style import (
    COLOURS,
    LINES,
    MARKERS,
    PAGE,
    canvas,
    headline,
    legend_below,
    legend_rows,
    letters,
    percent,
    styled,
)

TITLES = {"clean": "clean", "average": "PGD, average", "worst_class": "PGD, worst class", "nsd": "NSD under PGD"}


def epochs_figure(runs: Sequence[Run], source: str | None = None) -> Any:
    """(a) Clean, average and worst-class accuracy after each probed epoch, (b) NSD; a colour per run, a line per metric.

    The numbers are those of `run --probe`: of few steps of PGD on few images. What they were measured on is in the title.

    Args:
        runs: whose histories hold probes.
        source: on which images ("synthetic", "training" or "test"); on those that all runs were probed on when None.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        DfrdBenchError: a run has no such probes, or its history cannot be read.
    """
    histories = [read_history(Path(folder)) for folder, _ in runs]
    source = source or next((name for name in SOURCES if all(_probed(one, name) for one in histories)), None)
    for (folder, _), history in zip(runs, histories, strict=True):
        if source is None or not _probed(history, source):
            on = f" on {source} images" if source else ""
            raise DfrdBenchError(
                f"{folder} was not probed{on}: metrics over epochs are kept by `dfrd-bench run … --probe 10`, and cannot be "
                "made afterwards."
            )
    assert source is not None
    with styled():
        figure, (axes,) = canvas(1, 2, width=PAGE, height=2.2 + legend_rows(3 * len(runs)))
        for number, ((_, record), history) in enumerate(zip(runs, histories, strict=True)):
            for place, metric in enumerate(METRICS):
                name = TITLES[metric] if len(runs) == 1 else f"{who(record)}: {TITLES[metric]}"
                colour = COLOURS[(place if len(runs) == 1 else number) % len(COLOURS)]
                epochs, values = history.get(probe_key(source, metric), ([], []))
                axes[metric == "nsd"].plot(
                    epochs,
                    values if metric == "nsd" else [100 * value for value in values],
                    color=colour,
                    marker=MARKERS[(number if len(runs) > 1 else place) % len(MARKERS)],
                    linestyle=LINES[place],
                    label=name,
                )
        percent(axes[0])
        axes[0].set_ylabel("accuracy (%)")
        axes[1].set_ylabel("NSD (lower is fairer)")
        axes[1].set_ylim(bottom=0)
        axes[1].grid(axis="y")
        for axis in axes:
            axis.set_xlabel("epoch")
        letters(axes)
        said = who(runs[0][1]) if len(runs) == 1 else f"{len(runs)} runs"
        spec = runs[0][1].spec
        headline(figure, f"{said} on {spec.student}, {spec.dataset}: probes on {SOURCES[source]}")
        legend_below(figure, axes[0], 3)
    return figure


def _probed(history: dict[str, Series], source: str) -> bool:
    return probe_key(source, "average") in history
