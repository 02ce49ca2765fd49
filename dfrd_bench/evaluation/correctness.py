"""Which test images a run got right, read beside its record and checked against it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.metrics import confusion_matrix
from dfrd_bench.records.schema import Predictions, Record
from dfrd_bench.records.store import PREDICTIONS_FILE, load_predictions


@dataclass(frozen=True)
class Correctness:
    """Right or wrong, image by image.

    Attributes:
        digest: of the test images.
        labels: [N] true classes.
        right: attack -> [N] whether the image is still classified correctly.
    """

    digest: str
    labels: NDArray[np.int64]
    right: dict[str, NDArray[np.bool_]]

    def same_images(self, other: Correctness) -> bool:
        """Whether both speak of the same images in the same order."""
        return self.digest == other.digest and np.array_equal(self.labels, other.labels)


def read_correctness(folder: Path, record: Record, attacks: Collection[str] | None = None) -> Correctness:
    """Read a run's predictions and check that the record's confusion matrices follow from them.

    Args:
        folder: the run's folder.
        record: its record.
        attacks: only these, where the record has them; by default all of it.

    Raises:
        DfrdBenchError: see `own_predictions`.
    """
    found = own_predictions(folder, record, attacks)
    right = {name: predicted == found.labels for name, predicted in found.attacks.items()}
    return Correctness(record.dataset.test_digest, found.labels, right)


def own_predictions(folder: Path, record: Record, attacks: Collection[str] | None = None) -> Predictions:
    """A run's predictions under the attacks that its record has (or only some), checked against the record.

    Raises:
        DfrdBenchError: there are none, they are damaged, or they are another run's.
    """
    if not (folder / PREDICTIONS_FILE).is_file():
        raise DfrdBenchError(f"{folder} holds no {PREDICTIONS_FILE}, so which images were right is not known.")
    recorded = record.evaluation.attacks
    names = recorded.keys() if attacks is None else recorded.keys() & set(attacks)
    found = load_predictions(folder, names, images=record.dataset.test_images)
    for name in names:
        if not _belongs(found, name, recorded[name].confusion):
            raise DfrdBenchError(
                f"{folder / PREDICTIONS_FILE} does not belong to the record beside it: "
                f"the confusion matrix under {name} differs. Restore the two together, or make the run again."
            )
    return found


def _belongs(found: Predictions, attack: str, confusion: list[list[int]]) -> bool:
    """Whether an attack's predictions give its recorded confusion matrix."""
    predicted = found.attacks.get(attack)
    if predicted is None or predicted.shape != found.labels.shape:
        return False
    try:
        return bool(confusion_matrix(found.labels, predicted, len(confusion)).tolist() == confusion)
    except ValueError:  # a label or prediction is no class
        return False
