"""Does a record contradict what it was made from? Held against its confusion matrices, predictions, folder and weights."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.metrics import confusion_matrix, metrics, per_class_accuracy, target_entropy
from dfrd_bench.evaluation.statistics import CONFIDENCE, RESAMPLES
from dfrd_bench.records.nearest import named_record
from dfrd_bench.records.reading import brief
from dfrd_bench.records.schema import AttackRecord, Record
from dfrd_bench.records.store import (
    PREDICTIONS_FILE,
    RECORD_FILE,
    TEACHER_SUFFIX,
    WEIGHTS_FILE,
    load_predictions,
)
from dfrd_bench.records.weights import sha256_of

CLOSE = 1e-9
DRAWS, MANY_DRAWS = 100, 10_000
ERRORS = 4  # standard errors of the share of resamples beyond a bound
FOLDER = re.compile(r"-seed(\d+)-([0-9a-f]{8})$")  # how the folder of a run ends, unless somebody named it


def believed_record(folder: Path) -> Record:
    """The record of a run's folder, if nothing contradicts it.

    Raises:
        DfrdBenchError: see `named_record`; or a number of it does not follow from what lies beside it.
    """
    record = named_record(folder)
    check_believed(folder, record)
    return record


def check_believed(folder: Path, record: Record) -> None:
    """Refuse a record that something contradicts.

    Raises:
        DfrdBenchError: naming the first that does.
    """
    if wrong := contradictions(folder, record):
        raise disbelieved(folder, wrong)


def disbelieved(folder: Path, wrong: list[str]) -> DfrdBenchError:
    """An error for a record that is contradicted."""
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return DfrdBenchError(f"{folder / RECORD_FILE} contradicts its evidence: {wrong[0].rstrip('.')}{more}.")


def contradictions(folder: Path, record: Record) -> list[str]:
    """One sentence for everything in a record that what it was made from contradicts, as far as that is there.

    A folder without predictions or weights contradicts nothing with them.
    """
    wrong = [*_numbers_astray(record), *origin_astray(folder, record)]
    return wrong or [text for _, text in predictions_astray(folder, record)]


def matrix_astray(record: Record, result: AttackRecord) -> str:
    """What is wrong with a confusion matrix, as a sentence: it must count every test image, class by class; "" if nothing."""
    classes, images = record.dataset.info.num_classes, record.dataset.test_images
    square = [len(row) for row in result.confusion] == [classes] * classes
    if not square or min(map(min, result.confusion)) < 0 or sum(map(sum, result.confusion)) != images:
        return f"The confusion matrix does not count {images} images of {classes} classes."
    return ""


def metrics_astray(result: AttackRecord) -> Iterator[tuple[str, object, object]]:
    """(metric, stored, recomputed) for each metric that the confusion matrix, which is one, contradicts."""
    confusion = np.array(result.confusion)
    found = {name: float(value) for name, value in metrics(confusion.diagonal(), confusion.sum(axis=1)).items()}
    for name, value in found.items():
        stored = getattr(result, name)
        undefined = math.isnan(value)
        if (stored is None) != undefined or not (stored is None or abs(stored - value) <= CLOSE):
            yield name, stored, None if undefined else value
    per_class = per_class_accuracy(confusion)
    if len(per_class) != len(result.per_class) or any(
        (one is None) != (other is None) or abs((one or 0) - (other or 0)) > CLOSE
        for one, other in zip(result.per_class, per_class, strict=True)
    ):
        yield "per_class", result.per_class, per_class


def origin_astray(folder: Path, record: Record) -> Iterator[str]:
    """A folder's name that was made from another spec, and weights beside the record that are another network's."""
    yield from folder_astray(folder, record)
    yield from weights_astray(folder, record)


def named_by_settings(folder: Path) -> bool:
    """Whether a folder's name says of which seed and settings it is, and is not somebody's own."""
    return FOLDER.search(folder.resolve().name) is not None


def weights_beside(folder: Path, record: Record) -> Path | None:
    """The weights that a record describes, if they lie where a run leaves them; None of a teacher that was not trained here."""
    spec = record.spec
    path = folder / WEIGHTS_FILE if spec.kind == "student" else folder.resolve().with_suffix(TEACHER_SUFFIX)
    return path if path.exists() and not (spec.kind == "teacher" and record.training is None) else None


def folder_astray(folder: Path, record: Record) -> Iterator[str]:
    """A folder's name that was made from another spec."""
    spec, named = record.spec, FOLDER.search(folder.resolve().name)
    if named and (int(named[1]), named[2]) != (spec.seed, spec.digest()):
        yield (
            f"The folder is named for seed {named[1]} and settings {named[2]}, the record is of seed {spec.seed} and "
            f"settings {spec.digest()}."
        )


def weights_astray(folder: Path, record: Record) -> Iterator[str]:
    """Weights beside a record that are another network's."""
    path = weights_beside(folder, record)
    if path is None:
        return
    try:
        if sha256_of(path) != record.weights_sha256:
            yield f"{path} is not the network that {RECORD_FILE} describes: their sha256 differ."
    except DfrdBenchError as error:
        yield str(error)


def predictions_astray(folder: Path, record: Record) -> Iterator[tuple[str, str]]:
    """(whose they are, what is wrong) for predictions beside a record that cannot be read, or that give other numbers."""
    if not os.path.lexists(folder / PREDICTIONS_FILE):
        return
    try:
        found = load_predictions(folder, record.evaluation.attacks, images=record.dataset.test_images)
    except DfrdBenchError as error:
        yield PREDICTIONS_FILE, str(error)
        return
    survived, all_there = np.ones(len(found.labels), dtype=bool), True
    for attack, result in record.evaluation.attacks.items():
        predicted = found.attacks.get(attack)
        try:
            classes = record.dataset.info.num_classes
            counts = None if predicted is None else confusion_matrix(found.labels, predicted, classes).tolist()
        except ValueError:  # a label or prediction is no class
            counts = None
        if predicted is None or counts != result.confusion:
            yield attack, f"The predictions of {attack} are missing or not those that the confusion matrix counts."
            all_there = False
        else:
            survived &= predicted == found.labels
    if all_there and abs(float(survived.mean()) - record.evaluation.worst_case) > CLOSE:
        numbers = f"is {record.evaluation.worst_case}, the predictions give {float(survived.mean())}"
        yield "worst_case", f"The share that survives every attack {numbers}."


def _numbers_astray(record: Record) -> Iterator[str]:
    """Everything that the confusion matrices contradict."""
    averages, sound = [], []
    for attack, result in record.evaluation.attacks.items():
        if wrong := matrix_astray(record, result):
            yield f"{attack}: {wrong}"
            continue
        for metric, stored, found in metrics_astray(result):
            yield f"{attack}: {metric} is {brief(stored)}, the confusion matrix gives {brief(found)}."
        averages.append(np.trace(np.array(result.confusion)) / record.dataset.test_images)
        entropy = target_entropy(np.array(result.confusion))
        if result.target_entropy is not None and (entropy is None or abs(result.target_entropy - entropy) > CLOSE):
            yield f"{attack}: target_entropy is {result.target_entropy}, the confusion matrix gives {entropy}."
        yield from (f"{attack}: {wrong}" for wrong in _stages_astray(result))
        sound.append(attack)
    if sound:
        yield from _intervals_astray(record, sound)
    if averages and record.evaluation.worst_case > min(averages) + CLOSE:
        yield f"worst_case is {record.evaluation.worst_case}, but an attack leaves {min(averages)} only."


def _intervals_astray(record: Record, attacks: Sequence[str]) -> Iterator[str]:
    """Bounds that no resampling of these images gives. Where a few draws do not give them, many decide; `recomputation` draws
    all of them again.
    """
    confusion = np.array([record.evaluation.attacks[attack].confusion for attack in attacks])  # [A, K, K]
    totals = confusion[0].sum(axis=1)
    sizes, hits = totals[totals > 0], confusion.diagonal(axis1=1, axis2=2)[:, None, totals > 0]
    draws = np.random.default_rng(0).binomial(sizes, hits / sizes, size=(len(attacks), DRAWS, len(sizes)))
    for metric, values in metrics(draws, sizes).items():
        low, high = _middle(values)
        slack = (high - low) / 2 + 1 / sizes.min()  # seven standard errors of a bound, where the metric is about normal
        for n, (attack, *found, leeway) in enumerate(
            zip(attacks, low.tolist(), high.tolist(), slack.tolist(), strict=True)
        ):
            stored = record.evaluation.attacks[attack].intervals.get(metric)
            if stored is None or math.isnan(leeway):
                continue
            near = all(abs(one - other) <= leeway for one, other in zip(stored, found, strict=True))
            if not near and not _is_middle(stored, hits[n, 0], sizes, metric):
                numbers = f"is {brief(list(stored))}, the confusion matrix gives {brief(found)}"
                yield f"{attack}: The interval of {metric} {numbers}."


def _is_middle(interval: tuple[float, float], hits: NDArray[Any], sizes: NDArray[Any], metric: str) -> bool:
    """Whether as many resamples lie beyond either end as should, whatever the metric's law (few values, one long tail).

    Args:
        interval: (low, high).
        hits: [K] correct images of each class.
        sizes: [K] its images.
        metric: whose interval it is.
    """
    draws = np.random.default_rng(1).binomial(sizes, hits / sizes, size=(MANY_DRAWS, len(sizes)))
    values = metrics(draws, sizes)[metric]
    values, tail = values[~np.isnan(values)], (1 - CONFIDENCE) / 2
    reach = ERRORS * math.sqrt(tail * (1 - tail) * (1 / RESAMPLES + 1 / len(values)))
    return all(
        np.mean(outwards > bound + CLOSE) <= tail + reach and np.mean(outwards >= bound - CLOSE) >= tail - reach
        for outwards, bound in ((-values, -interval[0]), (values, interval[1]))
    )


def _middle(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the middle 95 % of each row [..., R] begin and end; NaN where more than half of them are NaN."""
    ranked = np.sort(values, axis=-1)  # NaN last
    defined = (~np.isnan(ranked)).sum(axis=-1, keepdims=True)
    places = (
        (defined * (1 - CONFIDENCE) / 2).astype(int),
        np.maximum((defined * (1 + CONFIDENCE) / 2).astype(int) - 1, 0),
    )
    low, high = (np.take_along_axis(ranked, place, axis=-1) for place in places)
    enough = 2 * defined >= values.shape[-1]
    return np.where(enough, low, np.nan)[..., 0], np.where(enough, high, np.nan)[..., 0]


def _stages_astray(result: AttackRecord) -> Iterator[str]:
    """Stages that cannot have led to what the attack left."""
    standing = [*(result.stages or {}).values()]
    if standing and abs(standing[-1] - result.average) > CLOSE:
        yield f"Its stages end at {standing[-1]}, and it leaves {result.average}."
    if any(later > earlier for earlier, later in pairwise(standing)):
        yield "An image that one of its stages broke stands again after a later one."
