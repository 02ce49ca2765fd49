"""Predictions that flip: which images a run has right until an attack comes, and what it takes them for then."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.correctness import own_predictions
from dfrd_bench.records.schema import Record
from dfrd_bench.reporting.site.chart_data import in_order
from dfrd_bench.reporting.tables.layout import attack_title

CLEAN = "clean"
FREQUENT = 3


@dataclass(frozen=True)
class Flip:
    """What one attack did to the images that are right without one.

    Attributes:
        flipped: how many of them it got wrong.
        alone: how many of these no other attack that was run got wrong.
        usual: the most frequent flips in words, e.g. "8 → 1 (12)".
    """

    attack: str
    flipped: int
    alone: int
    usual: str


def flips(folder: Path, record: Record) -> tuple[int, list[Flip]]:
    """How many images are right without an attack, and what each attack did to them; 0 and nothing where that is not known."""
    try:
        found = own_predictions(folder, record)
    except DfrdBenchError:
        return 0, []
    if CLEAN not in found.attacks:
        return 0, []
    names = record.dataset.info.class_names
    standing = found.attacks[CLEAN] == found.labels  # [N]
    broken = {
        name: standing & (found.attacks[name] != found.labels) for name in in_order(found.attacks) if name != CLEAN
    }
    made = []
    for name, hits in broken.items():
        others = np.zeros_like(hits)
        for other, found_there in broken.items():
            if other != name:
                others |= found_there
        pairs = Counter(zip(found.labels[hits].tolist(), found.attacks[name][hits].tolist(), strict=True))
        usual = ", ".join(f"{names[true]} → {names[taken]} ({n})" for (true, taken), n in pairs.most_common(FREQUENT))
        made.append(Flip(attack_title(name), int(hits.sum()), int((hits & ~others).sum()), usual))
    return int(standing.sum()), made
