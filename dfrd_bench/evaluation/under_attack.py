"""What an attack is to an evaluation, and the network's classes under one that takes a batch at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol, runtime_checkable

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dfrd_bench.attacks.crew import Attacking, Calls, Crew, Found, Here
from dfrd_bench.attacks.projected_gradient import ProjectedGradient
from dfrd_bench.attacks.replays import Replays
from dfrd_bench.attacks.verdict import AttackWarning, judge
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import ThreatModel

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


@runtime_checkable
class DivisibleAttack(WholeSetAttack, Protocol):
    """One whose batches other processes may attack: its `predict` takes a `crew` as well, each of whom does what this gives."""

    def attacking(
        self,
        model: nn.Module,
        images: LabelledImages,
        *,
        threat: ThreatModel,
        device: torch.device,
        seed: int,
        calls: Calls,
    ) -> Attacking: ...


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
    crew: Crew | None = None,
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
        crew: who attacks the batches, by `by_batches`; this process when None.

    Returns:
        [N] int64 on the CPU.
    """
    crew = crew or Here(by_batches(attack, model, images, threat=threat, device=device, seed=seed))
    batches = dict(enumerate(torch.split(torch.arange(len(images)), batch_size)))
    waiting, notes = [*batches][::-1], dict[int, tuple[str, ...]]()
    labels = images.labels.cpu()
    predictions = torch.empty_like(labels)
    done = hits = unpredicted = 0
    while len(notes) < len(batches):
        while waiting and crew.has_room:
            crew.begin(waiting[-1], "", batches[waiting.pop()])
        number, found = crew.result(lambda number, count: None)
        assert found is not None  # where memory runs out, the batch was divided already
        where, notes[number] = batches[number], found.notes
        predictions[where] = found.classes
        hits += int((found.classes == labels[where]).sum())
        done, unpredicted = done + len(where), unpredicted + found.unpredicted
        on_batch(done, hits / done)
    for text in (text for number in sorted(notes) for text in notes[number]):
        warnings.warn(text, AttackWarning, stacklevel=2)
    if unpredicted:
        note = f"NaN or infinite logits for {unpredicted} images, counted as misclassified"
        warnings.warn(note, AttackWarning, stacklevel=2)
    return predictions


def by_batches(
    attack: Attack,
    model: nn.Module,
    images: LabelledImages,
    *,
    threat: ThreatModel,
    device: torch.device,
    seed: int,
) -> Attacking:
    """What attacks a batch; see `predict_under_attack` for the arguments."""
    ours = isinstance(attack, ProjectedGradient)  # others may ask twice before they take a gradient
    asked = Replays(model) if ours and device.type == "cuda" else model

    def under_attack(x: Tensor, y: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The verdict on a batch; on its halves where memory runs out."""
        perturb = partial(attack, asked, threat=threat, indices=indices, seed=seed)
        if (judged := judge(perturb, model, x, y)) is not None:
            return judged.classes, judged.without
        parts = slice(0, len(y) // 2), slice(len(y) // 2, None)
        halves = [under_attack(x[part], y[part], indices[part]) for part in parts]
        return torch.cat([half[0] for half in halves]), torch.cat([half[1] for half in halves])

    def attacking(_stage: str, where: Tensor) -> Found:
        part = slice(int(where[0]), int(where[-1]) + 1)  # batches are of neighbours
        _, x, y = next(LabelledImages(images.images[part], images.labels[part]).batches(len(where), device))
        predicted, without = under_attack(x, y, where)
        return Found(predicted.cpu(), int(without.sum()))

    return attacking
