"""The best known robust accuracy of a run: what is left when everybody's attacks on its weights count, image by image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.contradictions import CLOSE, matrix_astray, metrics_astray
from dfrd_bench.evaluation.correctness import own_predictions
from dfrd_bench.problem import ThreatModel
from dfrd_bench.records.contests import ContestRecord, find_contests
from dfrd_bench.records.schema import Record


@dataclass(frozen=True)
class Contest:
    """One that counts.

    Attributes:
        folder: where it lies.
        record: what it says.
        accuracy: share of all images that survive every attack of it.
        broken: images that no attack of the run's own record broke, and one of these did.
    """

    folder: Path
    record: ContestRecord
    accuracy: float
    broken: int


@dataclass(frozen=True)
class BestKnown:
    """What is known of a run's robustness, whoever found it.

    Attributes:
        accuracy: share of test images that survive every attack of the run's record and of all its contests.
        own: share that survives every attack of the record alone (its `worst_case`).
        contests: those that count, in order of path.
        doubted: a sentence for each one that does not, see `contest_astray`.
    """

    accuracy: float
    own: float
    contests: tuple[Contest, ...] = ()
    doubted: tuple[str, ...] = ()

    @property
    def lowered(self) -> bool:
        """Whether somebody broke an image that the run's own attacks did not."""
        return self.accuracy < self.own - CLOSE


def best_known(folder: Path, record: Record) -> BestKnown:
    """What everybody's attacks leave of a run, read in its predictions and in those of its contests.

    The rule is that of the record's `worst_case`: an image counts as broken if any attack broke it, so the number can only fall
    with every contest, and it is not above the lowest that any one of them found. What contradicts the run (see
    `contest_astray`) does not count, nor does anything where the run's own predictions are missing.
    """
    found = list(find_contests(folder))
    if not found:
        return BestKnown(record.evaluation.worst_case, record.evaluation.worst_case)
    try:
        own = own_predictions(folder, record)
    except DfrdBenchError as error:
        return BestKnown(record.evaluation.worst_case, record.evaluation.worst_case, doubted=(str(error),))
    before = _standing(own.attacks, own.labels)
    standing, contests, doubted = before.copy(), [], []
    for place, contest in found:
        try:
            if isinstance(contest, DfrdBenchError):
                raise contest
            after = _standing_after(place, contest, record, own.labels)
        except DfrdBenchError as error:
            doubted.append(str(error))
            continue
        contests.append(Contest(place, contest, float(after.mean()), int((before & ~after).sum())))
        standing &= after
    return BestKnown(float(standing.mean()), record.evaluation.worst_case, tuple(contests), tuple(doubted))


def outside(parameters: Mapping[str, Any], threat: ThreatModel) -> str:
    """Why what an attack found does not count under a threat model, as the end of a sentence; "" where it does."""
    norm, eps = parameters.get("norm"), parameters.get("eps")
    if norm not in (None, threat.norm):
        return f"perturbs in {norm}, and the run's threat model is {threat.norm}"
    if isinstance(eps, (int, float)) and eps > threat.eps + CLOSE:
        return f"perturbs by up to {eps:.6g}, and the run's threat model allows {threat.eps:.6g}"
    return ""


def contest_astray(contest: ContestRecord, record: Record) -> Iterator[str]:
    """One sentence for everything that a contest says and that cannot be of the run it lies below."""
    if contest.weights_sha256 != record.weights_sha256:
        yield f"It is of other weights (sha256 {contest.weights_sha256[:8]}, the run's {record.weights_sha256[:8]})."
    if contest.test_digest != record.dataset.test_digest:
        yield f"It is of other images (digest {contest.test_digest[:8]}, the run's {record.dataset.test_digest[:8]})."
    if contest.threat != record.spec.threat:
        yield "It is of another threat model than the run's."
    for attack, result in contest.evaluation.attacks.items():
        if why := outside(result.parameters, record.spec.threat):
            yield f"{attack} {why}."
        if wrong := matrix_astray(record, result):
            yield f"{attack}: {wrong}"
        else:
            yield from (
                f"{attack}: {metric} is {stored}, the confusion matrix gives {found}."
                for metric, stored, found in metrics_astray(result)
            )


def _standing_after(folder: Path, contest: ContestRecord, record: Record, labels: NDArray[Any]) -> NDArray[np.bool_]:
    """[N] Which images survive every attack of a contest.

    Raises:
        DfrdBenchError: something in it is not of this run, or does not follow from its predictions.
    """
    if wrong := next(contest_astray(contest, record), ""):
        raise DfrdBenchError(f"{folder} does not count: {wrong}")
    found = own_predictions(folder, record.model_copy(update={"evaluation": contest.evaluation}))
    if not np.array_equal(found.labels, labels):
        raise DfrdBenchError(f"{folder} does not count: its labels are not those of the run's images.")
    after = _standing(found.attacks, labels)
    if abs(float(after.mean()) - contest.evaluation.worst_case) > CLOSE:
        raise DfrdBenchError(f"{folder} does not count: its worst case does not follow from its predictions.")
    return after


def _standing(predictions: Mapping[str, NDArray[Any]], labels: NDArray[Any]) -> NDArray[np.bool_]:
    """[N] Which images are classified correctly in all of several predictions."""
    standing: NDArray[np.bool_] = np.all([predicted == labels for predicted in predictions.values()], axis=0)
    return standing
