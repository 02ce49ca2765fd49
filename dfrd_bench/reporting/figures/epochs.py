"""The figure of metrics over the epochs of a training, from the probes in its history (as FERD's figure 8)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.history import Series, read_history
from dfrd_bench.records.probes import METRICS, SOURCES, probe_key
from dfrd_bench.reporting.escaping import plain_in_figures
from dfrd_bench.reporting.evidence import Run
from dfrd_bench.reporting.figures.captions import who
from dfrd_bench.reporting.figures.style import (
    COLOURS,
    LINES,
    MARKERS,
    PAGE,
    canvas,
    fitting_legend,
    headline,
    legend_below,
    letters,
    percent,
    styled,
    whole_epochs,
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
        figure, (axes,) = canvas(1, 2, width=PAGE, height=2.2)
        for number, history in enumerate(histories):
            for place, metric in enumerate(METRICS):
                epochs, values = history.get(probe_key(source, metric), ([], []))
                shown = values if metric == "nsd" else [100 * value for value in values]
                look = place if len(runs) == 1 else number
                axes[int(metric == "nsd")].plot(
                    epochs,
                    shown,
                    color=COLOURS[look % len(COLOURS)],
                    marker=MARKERS[look % len(MARKERS)],
                    linestyle=LINES[place],
                    label=TITLES[metric],
                )
        percent(axes[0])
        axes[0].set_title("accuracy (%)")
        axes[1].set_title("NSD (lower is fairer)")
        axes[1].set_ylim(bottom=0)
        axes[1].grid(axis="y")
        for axis in axes:
            whole_epochs(axis)
        letters(axes)
        said = who(runs[0][1]) if len(runs) == 1 else f"{len(runs)} runs"
        spec = runs[0][1].spec
        headline(
            figure, f"{said} on {plain_in_figures(f'{spec.student}, {spec.dataset}')}: probes on {SOURCES[source]}"
        )
        if len(runs) == 1:
            legend_below(figure, axes[0], 3)
        else:
            fitting_legend(figure, *_keys([who(record) for _, record in runs]), 4)
    return figure


def _keys(names: Sequence[str]) -> tuple[list[Any], list[str]]:
    """Of several runs: what the lines mean, and then the colour and the marker of each run."""
    from matplotlib.lines import Line2D

    metrics = [Line2D([], [], color="black", linestyle=LINES[place]) for place in range(len(METRICS))]
    runs = [
        Line2D([], [], color=COLOURS[k % len(COLOURS)], marker=MARKERS[k % len(MARKERS)], linestyle="")
        for k in range(len(names))
    ]
    return [*metrics, *runs], [*(TITLES[metric] for metric in METRICS), *names]


def _probed(history: dict[str, Series], source: str) -> bool:
    return probe_key(source, "average") in history
