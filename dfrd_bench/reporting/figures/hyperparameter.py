"""Figures of a hyper-parameter against what comes of it (as FERD's figure 5), and of Fair-ARD's β with its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from dfrd_bench.errors import DfrdBenchError, unknown_name
from dfrd_bench.records.schema import ExperimentSpec, Record
from dfrd_bench.reporting.escaping import plain_in_figures
from dfrd_bench.reporting.evidence import Run
from dfrd_bench.reporting.figures.choice import strongest, title_of
from dfrd_bench.reporting.figures.style import (
    LINES,
    PAGE,
    canvas,
    fitting_legend,
    headline,
    legend_below,
    letters,
    look,
    percent,
    styled,
)
from dfrd_bench.reporting.figures.weights import class_weights
from dfrd_bench.reporting.tables.layout import display_name

OF_A_RUN = {"variant", "seed", "config"}
NAMED = 12  # classes up to which each is named
METRICS = {"average": "average", "worst_class": "worst class"}


@dataclass(frozen=True)
class Sweep:
    """Runs of one method that differ in one hyper-parameter, and in what changes along with it.

    Attributes:
        method: as papers write it.
        runs: by value, in order; of each value its seeds.
    """

    method: str
    runs: Mapping[Any, tuple[Run, ...]]

    @property
    def records(self) -> list[Record]:
        return [record for part in self.runs.values() for _, record in part]

    @property
    def label(self) -> str:
        return plain_in_figures(self.method)


def sweeps_over(runs: Sequence[Run], name: str, along: Sequence[str] = ()) -> list[Sweep]:
    """The runs of each method in which one hyper-parameter has two values or more and all else is equal.

    Of the settings of a method that would do, the one with the most values is taken, and of those the one with most runs.

    Args:
        runs: of students.
        name: of the hyper-parameter.
        along: others that change with it, as synthesis_steps with synthesis_rounds.

    Raises:
        DfrdBenchError: no method here has it, or no two runs differ in it alone.
    """
    students = [run for run in runs if run[1].spec.kind == "student"]
    having = [run for run in students if name in run[1].spec.config]
    if not having:
        known = {setting for run in students for setting in run[1].spec.config}
        raise unknown_name("hyper-parameter of these runs", name, known)
    alike: dict[str, dict[str, dict[Any, list[Run]]]] = {}
    for run in having:
        spec = run[1].spec
        values = alike.setdefault(spec.method, {}).setdefault(_all_else(spec, (name, *along)), {})
        values.setdefault(_value(spec.config[name]), []).append(run)
    best = {method: max(others.values(), key=_worth) for method, others in alike.items()}
    found = [
        Sweep(display_name(method), {value: tuple(values[value]) for value in sorted(values, key=_order)})
        for method, values in best.items()
        if len(values) > 1
    ]
    if not found:
        seen = sorted({str(run[1].spec.config[name]) for run in having})
        raise DfrdBenchError(
            f"No two runs here differ in {name} alone (it is {', '.join(seen)}): make them with `run --set {name}=…`, or name "
            "what changes with it (--along)."
        )
    return found


def hyperparameter_figure(
    runs: Sequence[Run], name: str, *, along: Sequence[str] = (), attacks: Sequence[str] | None = None
) -> Any:
    """Average (a) and worst-class (b) accuracy against a hyper-parameter, a line per attack, or per method and attack.

    Args:
        runs: see `sweeps_over`.
        name: of the hyper-parameter.
        along: see `sweeps_over`.
        attacks: shown; without attack and under the strongest of those that all ran when None.

    Returns:
        A `matplotlib.figure.Figure`. Whiskers: standard deviation over seeds.

    Raises:
        DfrdBenchError: see `sweeps_over`; or an attack that not all of the runs have.
    """
    sweeps = sweeps_over(runs, name, along)
    shown = _attacks([record for sweep in sweeps for record in sweep.records], attacks)
    with styled():
        figure, (axes,) = canvas(1, 2, width=PAGE, height=2.1)
        for axis, metric in zip(axes, METRICS, strict=True):
            _draw(axis, sweeps, name, shown, metric)
        _finish(figure, axes, sweeps)
    return figure


def beta_figure(runs: Sequence[Run], attacks: Sequence[str] | None = None) -> Any:
    """Fair-ARD's figure 5: (a) the class weights at each β after the last epoch, (b) average and (c) worst-class accuracy.

    Args:
        runs: of one reweighting method at two values of beta or more.
        attacks: see `hyperparameter_figure`.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        DfrdBenchError: there are no such runs, or their histories are gone.
    """
    sweeps = sweeps_over(runs, "beta")[:1]
    shown = _attacks(sweeps[0].records, attacks)
    info = sweeps[0].records[0].dataset.info
    classes = info.num_classes
    with styled():
        figure, (axes,) = canvas(1, 3, width=PAGE, height=2.2)
        for number, (value, part) in enumerate(sweeps[0].runs.items()):
            last = [class_weights(Path(folder), classes)[1][1][-1] for folder, _ in part]
            axes[0].plot(np.mean(last, axis=0), label=f"β = {_text(value)}", **look(number))
        axes[0].set_xlabel("class")
        if classes <= NAMED:
            axes[0].set_xticks(range(classes), [plain_in_figures(name) for name in info.class_names])
        axes[0].set_ylabel("weight ω")
        axes[0].set_title("class weights")
        axes[0].grid(axis="y")
        for axis, metric in zip(axes[1:], METRICS, strict=True):
            _draw(axis, sweeps, "β", shown, metric, first=len(sweeps[0].runs))
        _finish(figure, axes, sweeps, legends=(axes[0], axes[1]))
    return figure


def _draw(axis: Any, sweeps: Sequence[Sweep], name: str, attacks: Sequence[str], metric: str, first: int = 0) -> None:
    """One metric against the hyper-parameter."""
    values = sorted({value for sweep in sweeps for value in sweep.runs}, key=_order)
    number = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    places = {value: float(value) if number else place for place, value in enumerate(values)}
    for row, sweep in enumerate(sweeps):
        for column, attack in enumerate(attacks):
            alone = len(sweeps) == 1
            style = look(first + column) if alone else look(row) | {"linestyle": LINES[column % len(LINES)]}
            label = title_of(attack) if alone else f"{sweep.label}, {title_of(attack)}"
            measured = [
                [100 * getattr(record.evaluation.attacks[attack], metric) for _, record in part]
                for part in sweep.runs.values()
            ]
            axis.errorbar(
                [places[value] for value in sweep.runs],
                [fmean(part) for part in measured],
                yerr=[stdev(part) if len(part) > 1 else 0 for part in measured]
                if max(map(len, measured)) > 1
                else None,
                label=label,
                **style,
            )
    if number and min(places.values()) > 0 and max(places.values()) >= 100 * min(places.values()):
        axis.set_xscale("log")
    axis.set_xticks([places[value] for value in values], [_text(value) for value in values])
    axis.minorticks_off()
    axis.set_xlabel(plain_in_figures(name))
    axis.set_ylabel("accuracy (%)")
    axis.set_title(METRICS[metric])
    percent(axis)


def _finish(figure: Any, axes: Sequence[Any], sweeps: Sequence[Sweep], legends: Sequence[Any] = ()) -> None:
    letters(axes)
    spec = sweeps[0].records[0].spec
    methods = ", ".join(sweep.label for sweep in sweeps)
    headline(figure, f"{methods} on {plain_in_figures(f'{spec.student}, {spec.dataset}')}")
    if not legends:
        legend_below(figure, axes[0])
        return
    named = [pair for axis in legends for pair in zip(*axis.get_legend_handles_labels(), strict=True)]
    handles, labels = [handle for handle, _ in named], [label for _, label in named]
    fitting_legend(figure, handles, labels, 6)


def _attacks(records: Sequence[Record], wanted: Sequence[str] | None) -> list[str]:
    shared = [a for a in records[0].evaluation.attacks if all(a in record.evaluation.attacks for record in records)]
    for name in wanted or ():
        if name not in shared:
            raise unknown_name("attack that all of these runs have", name, shared)
    if wanted:
        return [*wanted]
    return [*dict.fromkeys([*(name for name in ("clean",) if name in shared), strongest(shared)])]


def _all_else(spec: ExperimentSpec, but: Sequence[str]) -> str:
    """Equal for two runs that differ in nothing but seed, label and these hyper-parameters."""
    config = {name: value for name, value in spec.config.items() if name not in but}
    return json.dumps([spec.model_dump(mode="json", exclude=OF_A_RUN), config], sort_keys=True)


def _worth(values: Mapping[Any, Sequence[Run]]) -> tuple[int, int]:
    return len(values), sum(map(len, values.values()))


def _value(value: Any) -> Any:
    return value if isinstance(value, (int, float, str)) else json.dumps(value)


def _order(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str), value


def _text(value: Any) -> str:
    return plain_in_figures(f"{value:.3g}" if isinstance(value, float) else str(value).lower())
