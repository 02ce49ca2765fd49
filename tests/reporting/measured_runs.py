"""Runs with predictions whose right and wrong images are chosen, in folders as a run leaves them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from table_records import make_record

from dfrd_bench.evaluation.summary import attack_record, evaluation_record
from dfrd_bench.records.schema import Predictions, Record
from dfrd_bench.records.store import save_record

CLASSES, PER_CLASS = 10, 60
LABELS = np.arange(CLASSES * PER_CLASS) % CLASSES


def measured(
    results: Path, right: Mapping[str, np.ndarray], *, labels: np.ndarray = LABELS, **spec: Any
) -> tuple[str, Record]:
    """Write a run that is right on these images [N] per attack, elsewhere takes the next class for the true one.

    Returns:
        Its folder and its record.
    """
    classes = int(labels.max()) + 1
    predicted = {name: np.where(hits, labels, (labels + 1) % classes) for name, hits in right.items()}
    template = make_record(dict.fromkeys(right, (0.5, 0.1, 0.3)), classes=classes, **spec)
    attacks = {
        name: attack_record(labels, predicted[name], classes, template.evaluation.attacks[name].parameters, 1.0)
        for name in right
    }
    evaluation = evaluation_record(labels, predicted, attacks, 0)
    dataset = template.dataset.model_copy(update={"test_images": len(labels)})
    record = template.model_copy(update={"evaluation": evaluation, "dataset": dataset})
    folder = record.spec.folder(results)
    folder.mkdir(parents=True, exist_ok=True)
    save_record(folder, record, Predictions(labels, predicted))
    return str(folder), record


def right_on(wrong: int, *, start: int = 0) -> np.ndarray:
    """Right but for `wrong` images in a row, so that classes suffer alike."""
    return ~np.isin(np.arange(len(LABELS)), np.arange(start, start + wrong))
