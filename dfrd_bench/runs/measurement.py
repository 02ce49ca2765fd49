"""From a network to numbers, and to its record."""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dfrd_bench.datasets.base import Dataset
from dfrd_bench.observer import SILENT, Observer
from dfrd_bench.records.schema import (
    DatasetRecord,
    EnvironmentRecord,
    EvaluationRecord,
    ExperimentSpec,
    Predictions,
    Record,
    TrainingRecord,
)
from dfrd_bench.runs.environment import describe_environment
from dfrd_bench.runs.subject import check_same_images

if TYPE_CHECKING:
    import torch
    from torch import nn


def measure(
    spec: ExperimentSpec,
    model: nn.Module,
    dataset: Dataset,
    *,
    attacks: Sequence[str],
    device: torch.device,
    weights_sha256: str,
    training: TrainingRecord | None = None,
    trained_on: tuple[int, str] | None = None,
    cautions: Sequence[str] = (),
    earlier: tuple[Record, Predictions] | None = None,
    unfinished: Path | None = None,
    observer: Observer = SILENT,
    jobs: int | None = 1,
) -> tuple[Record, Predictions]:
    """Evaluate a network on its dataset's test images, in float32, and make its record.

    Args:
        spec: what the network is.
        model: the network.
        dataset: whose test images are used.
        attacks: names of attacks.
        device: where to run.
        weights_sha256: of the network's weights file.
        training: how it was trained, if it was here.
        trained_on: how many training images the method saw, and their digest.
        cautions: warnings to keep in the record, before those of the evaluation.
        earlier: an earlier record of the same network, whose attacks are kept.
        unfinished: see `evaluate_model`.
        observer: told about progress.
        jobs: processes that attack batches side by side; None: as many as pay, see `jobs_that_pay`.
    """
    from dfrd_bench.evaluation.evaluate import evaluate_model
    from dfrd_bench.evaluation.helpers import THREADS, helpers_wanted, jobs_that_pay

    images = dataset.load_tested()
    digest = images.digest()
    if earlier:
        check_same_images(earlier[0], digest)
    if jobs is None:
        pending = [name for name in attacks if earlier is None or name not in earlier[0].evaluation.attacks]
        jobs = jobs_that_pay(pending, model, dataset.info.num_classes, device)
    evaluation, predictions, warnings = evaluate_model(
        model.to(device).float(),
        images,
        num_classes=dataset.info.num_classes,
        threat=spec.threat,
        attacks=attacks,
        device=device,
        seed=spec.seed,
        known=(earlier[0].evaluation, earlier[1]) if earlier else None,
        unfinished=unfinished,
        on_batch=observer.on_attack,
        stops=observer.stops,
        jobs=jobs,
    )
    here = attacked = describe_environment(device)
    if device.type == "cpu" and helpers_wanted(jobs, len(images)):
        attacked = here.model_copy(update={"threads": THREADS})
    if earlier:
        kept = earlier[0]
        if attacked != kept.environment:
            added = evaluation.attacks.keys() - kept.evaluation.attacks.keys()
            evaluation = _ran_elsewhere(evaluation, added, attacked)
        return extended(kept, evaluation, warnings), predictions
    if training is None:
        here = attacked
    elif attacked != here:
        evaluation = _ran_elsewhere(evaluation, evaluation.attacks, attacked)
    record = Record(
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        spec=spec,
        dataset=DatasetRecord(
            info=dataset.info,
            test_images=len(images),
            test_digest=digest,
            training_images=trained_on[0] if trained_on else None,
            training_digest=trained_on[1] if trained_on else None,
        ),
        evaluation=evaluation,
        training=training,
        weights_sha256=weights_sha256,
        parameters=sum(p.numel() for p in model.parameters()),
        environment=here,
        warnings=(*cautions, *warnings),
    )
    return record, predictions


def extended(record: Record, evaluation: EvaluationRecord, warnings: Iterable[str]) -> Record:
    """The record with a further evaluation, and with warnings it does not have yet."""
    return record.model_copy(
        update={"evaluation": evaluation, "warnings": tuple(dict.fromkeys((*record.warnings, *warnings)))}
    )


def _ran_elsewhere(evaluation: EvaluationRecord, names: Collection[str], place: EnvironmentRecord) -> EvaluationRecord:
    """The evaluation, saying of some of its attacks where they ran."""
    moved = {name: evaluation.attacks[name].model_copy(update={"environment": place}) for name in names}
    return evaluation.model_copy(update={"attacks": {**evaluation.attacks, **moved}})
