"""Does a record say what its predictions say? Every number, recomputed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from dfrd_bench.evaluation.summary import attack_record, evaluation_record
from dfrd_bench.records.schema import EvaluationRecord, Predictions, Record

CLOSE = 1e-12
KEPT = {"parameters", "stages", "seconds", "environment"}  # of an attack, what its predictions do not say


def recomputed(record: Record, predictions: Predictions) -> EvaluationRecord:
    """The evaluation that the predictions give; settings, stages, seconds and environment are those of the record.

    What stood after a stage cannot be known from predictions, which are those after the last one.

    Raises:
        ValueError: a label or prediction is not a class, or an attack has no predictions.
    """
    classes = record.dataset.info.num_classes
    missing = record.evaluation.attacks.keys() ^ predictions.attacks.keys()
    if missing and record.evaluation.attacks.keys() < predictions.attacks.keys():
        raise ValueError(
            f"an evaluation was interrupted: there are predictions of {', '.join(sorted(missing))}, which the record does not "
            "have; `dfrd-bench evaluate` records them"
        )
    if missing:
        raise ValueError(f"record and predictions do not have the same attacks: {', '.join(sorted(missing))}")
    attacks = {}
    for name, old in record.evaluation.attacks.items():
        predicted = predictions.attacks[name]
        new = attack_record(predictions.labels, predicted, classes, old.parameters, old.seconds, old.stages)
        attacks[name] = new.model_copy(update={"environment": old.environment})
    return evaluation_record(predictions.labels, predictions.attacks, attacks, record.evaluation.seed)


def numbers_in(evaluation: EvaluationRecord) -> int:
    """How many numbers of an evaluation are computed again from its predictions."""

    def count(value: Any) -> int:
        parts = value.values() if isinstance(value, dict) else value
        return sum(map(count, parts)) if isinstance(value, (dict, list, tuple)) else 1

    attacks = (attack.model_dump().items() for attack in evaluation.attacks.values())
    return sum(count(value) for parts in attacks for name, value in parts if name not in KEPT) + 1  # and the worst case


def differences(record: Record, predictions: Predictions) -> list[str]:
    """One line for every number of a record that its predictions do not give; none if all is well."""
    if len(predictions.labels) != record.dataset.test_images:
        return [f"test_images: {record.dataset.test_images} recorded, {len(predictions.labels)} predictions"]
    classes = record.dataset.info.num_classes
    for name, attack in record.evaluation.attacks.items():
        if [len(row) for row in attack.confusion] != [classes] * classes:  # 5,000 that are none would fill the memory
            return [f"evaluation.attacks.{name}.confusion: not a matrix of the {classes} classes recorded"]
    try:
        found = recomputed(record, predictions)
    except ValueError as error:
        return [str(error)]
    return [*_unequal("evaluation", record.evaluation.model_dump(), found.model_dump()), *_stages_astray(found)]


def _stages_astray(found: EvaluationRecord) -> Iterator[str]:
    """Every attack whose stages, all that predictions do not give, cannot have led to what they do give."""
    for name, attack in found.attacks.items():
        standing = [*(attack.stages or {}).values()]
        if standing and not math.isclose(standing[-1], attack.average, rel_tol=CLOSE, abs_tol=CLOSE):
            yield f"evaluation.attacks.{name}.stages: they end at {standing[-1]}, the predictions at {attack.average}"
        if any(later > earlier for earlier, later in pairwise(standing)):
            yield f"evaluation.attacks.{name}.stages: an image that was broken stands again"


def _unequal(where: str, stored: Any, found: Any) -> Iterator[str]:
    """Every place in which two nested values differ by more than rounding."""
    if isinstance(stored, dict) and isinstance(found, dict) and stored.keys() == found.keys():
        for name, value in stored.items():
            yield from _unequal(f"{where}.{name}", value, found[name])
    elif isinstance(stored, (list, tuple)) and isinstance(found, (list, tuple)) and len(stored) == len(found):
        for number, value in enumerate(stored):
            yield from _unequal(f"{where}[{number}]", value, found[number])
    elif isinstance(stored, float) and isinstance(found, float):
        if not math.isclose(stored, found, rel_tol=CLOSE, abs_tol=CLOSE):
            yield f"{where}: {stored} recorded, {found} recomputed"
    elif stored != found:
        yield f"{where}: {stored} recorded, {found} recomputed"
