"""The figure of class weights over the epochs of a run, and of what they did (as FERD's figure 4)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.history import Series, family_of, read_history
from dfrd_bench.records.schema import Record
from dfrd_bench.reporting.escaping import plain_in_figures
from dfrd_bench.reporting.evidence import Run
from dfrd_bench.reporting.figures.captions import subject, who
from dfrd_bench.reporting.figures.choice import strongest, title_of
from dfrd_bench.reporting.figures.style import (
    COLOURS,
    HATCHES,
    PAGE,
    SHADES,
    SMALL,
    canvas,
    headline,
    legend_below,
    letters,
    percent,
    styled,
    whole_epochs,
)

FAMILIES = {"p": "share of each class among the new images", "w": "weight of each class"}
"""What histories call the weights, and what they are: FERD's eq. 3, Fair-ARD's eq. 7."""
EQUAL = ("reweighting=false",)  # parts of a variant's name that mean equal weights
FAIR = "fair-"  # what a method's name begins with that is another's, reweighted
NAMED = 20  # classes up to which each is named


def weights_figure(run: Run, other: Run | None, attack: str | None = None) -> Any:
    """Above, the weight of each class after each epoch, darker where larger; below, the accuracy per class that came of it.

    Args:
        run: one whose history has class weights.
        other: one with equal weights, to compare with; see `equal_weights`.
        attack: under which accuracies are shown; the strongest of the run's when None.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        DfrdBenchError: the history has no class weights, or one of the runs lacks the attack.
    """
    folder, record = Path(run[0]), run[1]
    info = record.dataset.info
    name, (epochs, weights) = class_weights(folder, info.num_classes)
    members = [record] if other is None else [record, other[1]]
    shared = [a for a in record.evaluation.attacks if all(a in member.evaluation.attacks for member in members)]
    if attack is not None and attack not in shared:
        raise DfrdBenchError(
            f"{attack} was not run on {' and '.join(map(who, members))}: `dfrd-bench evaluate` adds it."
        )
    attack = attack or strongest(shared)
    names = [plain_in_figures(class_name) for class_name in info.class_names]
    with styled():
        figure, ((above, below),) = canvas(1, 2, width=PAGE, height=2.6)
        _draw_weights(figure, above, epochs, weights, names, FAMILIES[name])
        _draw_outcome(below, members, attack, names)
        letters([above, below])
        headline(figure, subject(record))
        legend_below(figure, below, 2)
    return figure


def class_weights(folder: Path, num_classes: int) -> tuple[str, Series]:
    """What a run's history calls its class weights; its epochs [E], and the weights [E, K].

    Raises:
        DfrdBenchError: it has none.
    """
    history = read_history(folder)
    for name in FAMILIES:
        if f"{name}/0" in history:
            return name, family_of(history, name, num_classes)
    raise DfrdBenchError(f"{folder} has no class weights in its history: its method weighs all classes alike.")


def with_weights(runs: Sequence[Run]) -> list[Run]:
    """The runs whose histories have class weights."""

    def weighed(run: Run) -> bool:
        try:
            class_weights(Path(run[0]), run[1].dataset.info.num_classes)
        except DfrdBenchError:
            return False
        return run[1].spec.kind == "student"

    return [run for run in runs if weighed(run)]


def equal_weights(run: Run, runs: Sequence[Run]) -> Run | None:
    """The run to compare a reweighted one with: all else equal but for its weights, of the same seed where there is one.

    That is the same method with `reweighting=false`, or of a fair version (fair-ard) the method that it is made from (ard).
    """
    spec, method = run[1].spec, run[1].spec.method
    setting = {"dataset", "teacher", "student", "threat", "precision", "provider"}

    def same(record: Record) -> bool:
        other = record.spec
        if other.model_dump(include=setting) != spec.model_dump(include=setting):
            return False
        if other.method == method:
            parts = set(other.variant.split("+"))
            return parts - set(EQUAL) == set(spec.variant.split("+")) - {"default"} and bool(parts & set(EQUAL))
        return other.method == method.removeprefix(FAIR) and other.variant == spec.variant

    found = [other for other in runs if same(other[1])]
    return min(found, key=lambda other: other[1].spec.seed != spec.seed, default=None)


def _draw_weights(
    figure: Any,
    axis: Any,
    epochs: NDArray[np.int64],
    weights: NDArray[np.float64],
    names: Sequence[str],
    what: str,
) -> None:
    """A row per class, a column per epoch."""
    extent = (epochs[0] - 0.5, epochs[-1] + 0.5, len(names) - 0.5, -0.5)
    shown = axis.imshow(weights.T, aspect="auto", cmap=SHADES, vmin=0, extent=extent, interpolation="nearest")
    if len(names) <= NAMED:
        axis.set_yticks(range(len(names)), names)
    axis.set_ylabel("class")
    whole_epochs(axis)
    axis.set_title(what)
    bar = figure.colorbar(shown, ax=axis, pad=0.02, aspect=25)
    bar.outline.set_linewidth(0.6)
    bar.ax.tick_params(labelsize=SMALL)


def _draw_outcome(axis: Any, members: Sequence[Record], attack: str, names: Sequence[str]) -> None:
    """Accuracy per class of each run, side by side; their worst classes as lines across."""
    wide = 0.8 / len(members)
    for number, record in enumerate(members):
        values = 100 * np.array(record.evaluation.attacks[attack].per_class, dtype=np.float64)
        places = np.arange(len(names)) + wide * (number - (len(members) - 1) / 2)
        colour, hatch = COLOURS[number], HATCHES[number]
        edge = "white" if hatch else colour
        axis.bar(
            places, values, width=wide, facecolor=colour, hatch=hatch, edgecolor=edge, linewidth=0, label=who(record)
        )
        worst = 100 * record.evaluation.attacks[attack].worst_class
        axis.axhline(worst, color=colour, linestyle=("-", "--")[number % 2], linewidth=0.9)
    if len(names) <= NAMED:
        axis.set_xticks(range(len(names)), names, rotation=90 if max(map(len, names)) > 2 else 0)
    axis.set_xlabel("class")
    axis.set_ylabel("accuracy (%)")
    percent(axis)
    axis.set_title(f"under {title_of(attack)}; lines: the worst class")
