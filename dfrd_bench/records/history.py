"""Reading the history of a run: its numbers, epoch by epoch, as series."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.reading import MIB, read_file

HISTORY_FILE = "history.jsonl"  # in the folder of a run: a line of numbers per epoch
LARGEST = 256 * MIB  # bytes of it
LAST_EPOCH = 10**9

Series = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Epochs, counted from 1, and the number that was reported after each."""


def read_history(folder: Path) -> dict[str, Series]:
    """Every number of a run's `history.jsonl`, by its name, over the epochs that have it.

    Lines that are damaged, and values that are no finite number, are left out.

    Raises:
        DfrdBenchError: there is no such file, or it cannot be read.
    """
    lines = read_file(folder / HISTORY_FILE, LARGEST).decode("utf-8", "replace").splitlines()
    found: dict[str, list[tuple[int, float]]] = {}
    for numbers in map(_numbers, lines):
        epoch = numbers.pop("epoch", None)
        if epoch is None or not 0 <= epoch < LAST_EPOCH:
            continue
        for name, value in numbers.items():
            found.setdefault(name, []).append((int(epoch) + 1, value))
    return {
        name: (np.array([epoch for epoch, _ in points]), np.array([value for _, value in points]))
        for name, points in found.items()
    }


def family_of(history: dict[str, Series], family: str, members: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """A number that is reported per class, as p/0, p/1, …: epochs [E], and values [E, K] of those that have all of them.

    Args:
        history: from `read_history`.
        family: its name.
        members: K.

    Raises:
        DfrdBenchError: there is no epoch with all of them.
    """
    series = [history.get(f"{family}/{k}") for k in range(members)]
    known = [dict(zip(one[0].tolist(), one[1].tolist(), strict=True)) for one in series if one is not None]
    epochs = sorted(set.intersection(*map(set, known))) if len(known) == members and known else []
    if not epochs:
        raise DfrdBenchError(f"There is no {family!r} of every class in this history.")
    return np.array(epochs), np.array([[one[epoch] for one in known] for epoch in epochs])


def _numbers(line: str) -> dict[str, float]:
    """The finite numbers of a line; none of one that is damaged."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    pairs = found.items() if isinstance(found, dict) else ()
    return {name: float(value) for name, value in pairs if isinstance(value, (int, float)) and _finite(value)}


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of more digits than any float
        return False
