"""What the test images can tell about a table's rows, where the predictions behind them are there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.correctness import Correctness, read_correctness
from dfrd_bench.evaluation.paired import PairedBootstrap
from dfrd_bench.records.schema import Record

Run = tuple[str, Record]
"""Where a record was found, and the record."""

Evidence = Callable[[Run], Correctness]
"""Which images a run got right; raises DfrdBenchError where that cannot be known."""


def predictions_beside_records(attacks: Collection[str] | None = None) -> Evidence:
    """Evidence from the predictions in the runs' folders, each read once and only for these attacks (all by default)."""
    known: dict[str, Correctness] = {}

    def read(run: Run) -> Correctness:
        where, record = run
        if where not in known:
            known[where] = read_correctness(Path(where), record, attacks)
        return known[where]

    return read


def bootstrap_rows(rows: Mapping[int, Sequence[Run]], attack: str, evidence: Evidence) -> PairedBootstrap[int]:
    """Resample the test images of one attack for several rows at once.

    Args:
        rows: the runs of each row, one per seed; at least one of them ran the attack.
        attack: its name.
        evidence: which images a run got right.

    Raises:
        DfrdBenchError: that is not known for one of the runs, or they were not tested on the same images.
    """
    found = {
        place: [evidence(run) for run in runs if attack in run[1].evaluation.attacks] for place, runs in rows.items()
    }
    everything = [one for part in found.values() for one in part]
    if not all(one.same_images(everything[0]) for one in everything):
        raise DfrdBenchError("The runs were not tested on the same images in the same order.")
    right = {place: np.stack([one.right[attack] for one in part], axis=1) for place, part in found.items()}
    return PairedBootstrap(right, everything[0].labels)
