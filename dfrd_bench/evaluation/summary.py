"""Predictions to numbers: everything that a record says about an attack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfrd_bench.evaluation.metrics import confusion_matrix, metrics, per_class_accuracy, target_entropy
from dfrd_bench.evaluation.statistics import bootstrap_intervals
from dfrd_bench.records.schema import AttackRecord, EvaluationRecord


def attack_record(
    labels: NDArray[Any],
    predicted: NDArray[Any],
    num_classes: int,
    parameters: dict[str, Any],
    seconds: float,
    stages: dict[str, float] | None = None,
) -> AttackRecord:
    """The record of one attack, every number from true labels [N] and predicted classes [N], but those after its stages."""
    confusion = confusion_matrix(labels, predicted, num_classes)
    correct, totals = confusion.diagonal(), confusion.sum(axis=1)
    values = {name: float(value) for name, value in metrics(correct, totals).items()}
    return AttackRecord(
        parameters=parameters,
        confusion=confusion.tolist(),
        per_class=per_class_accuracy(confusion),
        average=values["average"],
        worst_class=values["worst_class"],
        worst_10=values["worst_10"],
        nsd=None if np.isnan(values["nsd"]) else values["nsd"],
        target_entropy=target_entropy(confusion),
        intervals=bootstrap_intervals(correct, totals),
        stages=stages,
        seconds=seconds,
    )


def evaluation_record(
    labels: NDArray[Any], predictions: Mapping[str, NDArray[Any]], attacks: Mapping[str, AttackRecord], seed: int
) -> EvaluationRecord:
    """The record of a whole evaluation, from what is known of each attack and the predictions under it."""
    survived = np.all([predicted == labels for predicted in predictions.values()], axis=0)
    return EvaluationRecord(seed=seed, attacks=dict(attacks), worst_case=float(survived.mean()))
