"""Runs attacks on a network and turns its predictions into an evaluation record."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dfrd_bench.attacks.projected_gradient import ProjectedGradient
from dfrd_bench.attacks.replays import Replays
from dfrd_bench.attacks.verdict import AttackWarning, judge
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.notes import noted
from dfrd_bench.evaluation.summary import attack_record, evaluation_record
from dfrd_bench.evaluation.unfinished import SECONDS, Finished, Unfinished, key_of, seconds_of
from dfrd_bench.images import LabelledImages
from dfrd_bench.observer import SILENT, Stops
from dfrd_bench.problem import Precision, ThreatModel
from dfrd_bench.records.schema import AttackRecord, EvaluationRecord, Predictions
from dfrd_bench.registry import ATTACKS

BATCH_SIZE = 300

OnBatch = Callable[[str, int, int, float], None]
"""Told how it goes: attack (and its stage), images done, images in all, accuracy so far."""


class Attack(Protocol):
    """What an attack entry point is: an object with one line about itself, its settings, and a call.

    An attack that must see all images to choose its batches has a `predict` beside (see `WholeSetAttack`).
    """

    summary: str

    def parameters(self, threat: ThreatModel) -> dict[str, Any]: ...

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, *, threat: ThreatModel, indices: Tensor, seed: int
    ) -> Tensor: ...


@runtime_checkable
class WholeSetAttack(Protocol):
    """An attack that goes through the test images itself, and can be stopped and go on; see `AutoAttack.predict`.

    It is to take fewer images at once than `batch_size` where memory is short. If it is a sequence of attacks, it tells
    `on_stage` at the end which they were, in order, and what share of all images stood after each.
    """

    def predict(
        self,
        model: nn.Module,
        images: LabelledImages,
        *,
        threat: ThreatModel,
        device: torch.device,
        seed: int,
        batch_size: int,
        known: Mapping[str, NDArray[Any]] | None,
        on_state: Callable[[dict[str, NDArray[Any]]], None],
        on_progress: OnBatch,
        on_stage: Callable[[str, float], None],
    ) -> Tensor: ...


def predict_under_attack(
    attack: Attack,
    model: nn.Module,
    images: LabelledImages,
    *,
    threat: ThreatModel,
    device: torch.device,
    seed: int,
    on_batch: Callable[[int, float], None] = lambda done, accuracy: None,
    batch_size: int = BATCH_SIZE,
) -> Tensor:
    """The network's classes for the attacked images.

    An image for which the network gives a NaN or an infinity counts as misclassified, and an `AttackWarning` says how many.

    Args:
        attack: any attack.
        model: in eval mode, on the device, in float32.
        images: the test images.
        threat: ball and step.
        device: where the model is.
        seed: seed of the attack's random draws.
        on_batch: called with images done and accuracy so far.
        batch_size: images per batch; halved where memory runs out.

    Returns:
        [N] int64 on the CPU.
    """

    def under_attack(x: Tensor, y: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The verdict on a batch; on its halves where memory runs out."""
        perturb = partial(attack, asked, threat=threat, indices=indices, seed=seed)
        if (judged := judge(perturb, model, x, y)) is not None:
            return judged.classes, judged.without
        parts = slice(0, len(y) // 2), slice(len(y) // 2, None)
        halves = [under_attack(x[part], y[part], indices[part]) for part in parts]
        return torch.cat([half[0] for half in halves]), torch.cat([half[1] for half in halves])

    ours = isinstance(attack, ProjectedGradient)  # others may ask twice before they take a gradient
    asked = Replays(model) if ours and device.type == "cuda" else model
    predictions = torch.empty_like(images.labels)
    hits = unpredicted = 0
    for start, x, y in images.batches(batch_size, device):
        predicted, without = under_attack(x, y, torch.arange(start, start + len(y)))
        predictions[start : start + len(y)] = predicted.cpu()
        hits += int((predicted == y).sum())
        unpredicted += int(without.sum())
        on_batch(start + len(y), hits / (start + len(y)))
    if unpredicted:
        note = f"NaN or infinite logits for {unpredicted} images, counted as misclassified"
        warnings.warn(note, AttackWarning, stacklevel=2)
    return predictions


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
        on_batch: progress.
        stops: asked after every batch whether to go on.

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
    try:
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
                )
            notes += done.notes
            predictions[name] = done.predicted
            parameters = attack.parameters(threat)
            if hasattr(attack, "as_run"):
                parameters = attack.as_run(parameters, done.stages or {})
            results[name] = attack_record(labels, done.predicted, num_classes, parameters, done.seconds, done.stages)
    finally:
        model.train(was_training)
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

    with noted(name) as notes:
        if isinstance(attack, WholeSetAttack):
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
