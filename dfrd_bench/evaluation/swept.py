"""Which of the sweeps over ε beside a record are of that record's network, and agree with its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.schema import Record
from dfrd_bench.records.sweeps import SweepRecord, find_sweeps

FLIPPED = 0.02  # share of the images whose verdict another machine may flip
STEPS_TO_THE_EDGE = 4  # of a sweep's attack: a step is this part of ε
CLEAN = "clean"


@dataclass(frozen=True)
class Swept:
    """The sweeps of a run.

    Attributes:
        sweeps: those that count, one for each attack.
        doubted: a sentence for each one that does not.
    """

    sweeps: tuple[SweepRecord, ...] = ()
    doubted: tuple[str, ...] = ()


def swept(folder: Path, record: Record) -> Swept:
    """The sweeps in a run's folder; those that contradict its record do not count, see `sweep_astray`."""
    found: dict[str, SweepRecord] = {}
    doubted = []
    for sweep in find_sweeps(folder):
        if isinstance(sweep, DfrdBenchError):
            doubted.append(str(sweep))
        elif wrong := list(sweep_astray(sweep, record)):
            doubted.append(f"The sweep over ε under {sweep.attack} does not count: {' '.join(wrong)}")
        else:
            found.setdefault(sweep.attack, sweep)
    return Swept(tuple(found.values()), tuple(doubted))


def sweep_astray(sweep: SweepRecord, record: Record) -> Iterator[str]:
    """One sentence for everything that a sweep says and that cannot be of the run it lies beside."""
    if sweep.weights_sha256 != record.weights_sha256:
        yield f"It is of other weights (sha256 {sweep.weights_sha256[:8]}, the run's {record.weights_sha256[:8]})."
    if sweep.test_digest != record.dataset.test_digest:
        yield f"It is of other images (digest {sweep.test_digest[:8]}, the run's {record.dataset.test_digest[:8]})."
    eps = record.spec.threat.eps
    if not math.isclose(sweep.eps, eps):
        yield f"It takes {sweep.eps:.6g} for the run's ε, which is {eps:.6g}."
        return
    attacks = record.evaluation.attacks
    recorded = {0.0: attacks.get(CLEAN)}
    if sweep.attack in attacks and _same_step(attacks[sweep.attack].parameters.get("step"), sweep.eps):
        recorded[sweep.eps] = attacks[sweep.attack]
    for level, result in recorded.items():
        point = sweep.at(level)
        if result is not None and point is not None and abs(point.average - result.average) > FLIPPED:
            said, there = f"{100 * point.average:.2f}", f"{100 * result.average:.2f}"
            yield f"At ε = {level:.6g} it leaves {said} % of the images, and the record {there} %."


def _same_step(step: object, eps: float) -> bool:
    return isinstance(step, (int, float)) and math.isclose(step, eps / STEPS_TO_THE_EDGE)
