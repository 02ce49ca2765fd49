"""Runs attacks on a network and turns its predictions into an evaluation record."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.helpers import Helpers, as_many_threads, helpers_wanted
from dfrd_bench.evaluation.notes import noted
from dfrd_bench.evaluation.summary import attack_record, evaluation_record
from dfrd_bench.evaluation.under_attack import (
    BATCH_SIZE,
    Attack,
    DivisibleAttack,
    OnBatch,
    WholeSetAttack,
    predict_under_attack,
)
from dfrd_bench.evaluation.unfinished import SECONDS, Finished, Unfinished, key_of, seconds_of
from dfrd_bench.images import LabelledImages
from dfrd_bench.observer import SILENT, Stops
from dfrd_bench.problem import Precision, ThreatModel
from dfrd_bench.records.schema import AttackRecord, EvaluationRecord, Predictions
from dfrd_bench.registry import ATTACKS

log = logging.getLogger(__name__)


def evaluate_model(
    model: nn.Module,
    images: LabelledImages,
    *,
    num_classes: int,
    threat: ThreatModel,
    attacks: Sequence[str],
    device: torch.device,
    seed: int = 0,
    known: tuple[EvaluationRecord, Predictions] | None = None,
    unfinished: Path | None = None,
    on_batch: OnBatch = lambda attack, done, total, accuracy: None,
    stops: Stops = SILENT.stops,
    jobs: int = 1,
) -> tuple[EvaluationRecord, Predictions, list[str]]:
    """Run attacks by name, keeping what is already known.

    Args:
        model: any network; put into eval mode here and back afterwards, and into the channels_last layout for good.
        images: the test images.
        num_classes: K.
        threat: ball and step of every attack.
        attacks: names in the attack registry.
        device: where the model is.
        seed: seed of every attack.
        known: an earlier evaluation of the same network on the same images; its attacks are not run again.
        unfinished: folder in which a stopped evaluation leaves what it has, and from which it goes on; the caller removes it
            when it has recorded the result.
        on_batch: progress; where other processes attack, it also hears of each attack before its first batch.
        stops: asked after every batch whether to go on.
        jobs: processes that attack batches side by side; a batch's verdict does not depend on the others, so that the classes
            are those that one process with one thread finds.

    Returns:
        The record, the predictions, and warnings.

    Raises:
        DfrdBenchError: an unknown attack, or none; images or labels that cannot be evaluated on.
    """
    loaded = ATTACKS.select(attacks)
    notes = check_images(images, num_classes)
    results: dict[str, AttackRecord] = dict(known[0].attacks) if known else {}
    predictions = dict(known[1].attacks) if known else {}
    labels = images.labels.numpy()
    was_training = model.training
    model.eval().to(memory_format=torch.channels_last)  # quicker, on a GPU much
    kept = Unfinished(unfinished, key_of(model, images.digest(), seed) if unfinished else "")
    with ExitStack() as stack:
        stack.callback(model.train, was_training)
        helpers = None
        if count := helpers_wanted(jobs, len(images)):
            helpers = stack.enter_context(Helpers(count, model, images, threat=threat, device=device, seed=seed))
            stack.enter_context(as_many_threads(device))
        for name, attack in loaded.items():
            if name in results:
                continue
            with Precision("fp32").backends(same_shapes=False), stops.deferred():
                done = _run_attack(
                    name,
                    attack,
                    model,
                    images,
                    num_classes=num_classes,
                    threat=threat,
                    device=device,
                    seed=seed,
                    kept=kept,
                    on_batch=on_batch,
                    stops=stops,
                    helpers=helpers,
                )
            notes += done.notes
            predictions[name] = done.predicted
            parameters = attack.parameters(threat)
            if hasattr(attack, "as_run"):
                parameters = attack.as_run(parameters, done.stages or {})
            results[name] = attack_record(labels, done.predicted, num_classes, parameters, done.seconds, done.stages)
    record = evaluation_record(labels, predictions, results, seed)
    return record, Predictions(labels, predictions), list(dict.fromkeys(notes))


def _run_attack(
    name: str,
    attack: Attack,
    model: nn.Module,
    images: LabelledImages,
    *,
    num_classes: int,
    threat: ThreatModel,
    device: torch.device,
    seed: int,
    kept: Unfinished,
    on_batch: OnBatch,
    stops: Stops,
    helpers: Helpers | None,
) -> Finished:
    """Run an attack to its end, going on from what a stopped evaluation kept."""
    settings = {**attack.parameters(threat), "batch_size": BATCH_SIZE}
    earlier = kept.load(name, settings)
    if earlier is not None and (done := Finished.from_arrays(earlier, len(images), num_classes)) is not None:
        return done
    stages: dict[str, float] = {}
    before = None if earlier is None else seconds_of(earlier)
    known = None if before is None else earlier  # what does not say how long it took is damaged
    began = time.perf_counter() - (before or 0.0)

    def keep(arrays: dict[str, NDArray[Any]]) -> None:
        kept.save(name, settings, {**arrays, SECONDS: np.array(time.perf_counter() - began)})
        stops.safe_point()

    def show(done: int, accuracy: float) -> None:
        on_batch(name, done, len(images), accuracy)
        stops.safe_point()  # nothing is kept of it, nor would be by waiting

    crew = helpers.on(name) if helpers else None
    if crew:
        on_batch(name, 0, len(images), math.nan)  # their first batches are long in coming
    with noted(name) as notes:
        if isinstance(attack, WholeSetAttack):
            if crew and not isinstance(attack, DivisibleAttack):
                log.warning("%s goes through the test images itself: one process does.", name)
            divided: dict[str, Any] = {"crew": crew} if isinstance(attack, DivisibleAttack) else {}
            predicted = attack.predict(
                model,
                images,
                threat=threat,
                device=device,
                seed=seed,
                batch_size=BATCH_SIZE,
                known=known,
                on_state=keep,
                on_progress=lambda stage, *progress: on_batch(f"{name} {stage}", *progress),
                on_stage=stages.__setitem__,
                **divided,
            ).numpy()
        else:
            predicted = predict_under_attack(
                attack,
                model,
                images,
                threat=threat,
                device=device,
                seed=seed,
                on_batch=show,
                crew=crew,
            ).numpy()
    done = Finished(predicted, time.perf_counter() - began, notes, stages or None)
    kept.save(name, settings, done.to_arrays())
    stops.safe_point()
    return done


def check_images(images: LabelledImages, num_classes: int) -> list[str]:
    """Warnings about test images that some numbers will suffer from.

    Raises:
        DfrdBenchError: there are none, pixels outside [0, 1] or not finite, or labels that are not classes.
    """
    if not len(images):
        raise DfrdBenchError("There are no test images.")
    if images.images.dtype.is_floating_point:
        low, high = float(images.images.min()), float(images.images.max())
        if not (low >= 0 and high <= 1):  # also when one is a NaN
            raise DfrdBenchError(f"Test images must have pixels in [0, 1], found {low:g} … {high:g}.")
    low, high = int(images.labels.min()), int(images.labels.max())
    if low < 0 or high >= num_classes:
        raise DfrdBenchError(f"Labels must lie in 0 … {num_classes - 1}, found {low} … {high}.")
    missing = sorted(set(range(num_classes)) - set(images.labels.tolist()))
    if not missing:
        return []
    few = f"{len(images)} test images for {num_classes} classes; " if len(images) < num_classes else ""
    shown = ", ".join(map(str, missing[:10])) + (", …" if len(missing) > 10 else "")
    return [f"{few}{len(missing)} classes have no test image and are left out of per-class numbers: {shown}"]
