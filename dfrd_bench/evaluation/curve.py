"""Robust accuracy against ε, from no perturbation to where nothing is left: a check on the attack as much as on the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from dfrd_bench.attacks.clean import clean
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.metrics import confusion_matrix, metrics
from dfrd_bench.evaluation.notes import noted
from dfrd_bench.evaluation.under_attack import Attack, predict_under_attack
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import Precision, ThreatModel

LARGEST = 1.0  # any image can become any other
FIRST_PART = 4  # the smallest ball is this part of the given one, and a step this part of any ball


@dataclass(frozen=True)
class Point:
    """What an attack leaves in the L∞ ball of one radius; accuracies are fractions."""

    eps: float
    average: float
    worst_class: float


@dataclass(frozen=True)
class Curve:
    """Accuracy under one attack at growing ε.

    Attributes:
        attack: its name.
        eps: the threat model's own, one of the points'.
        points: from ε = 0 on.
        notes: what the attack warned of.
    """

    attack: str
    eps: float
    points: tuple[Point, ...]
    notes: tuple[str, ...] = ()

    @property
    def reaches_zero(self) -> bool:
        """Whether the attack leaves nothing in its largest ball.

        At ε = 1 any image can become any other, so an attack that still leaves some right does not find what is there: its
        gradients are hidden from it (Carlini et al. 2019, On Evaluating Adversarial Robustness), or the network takes every
        image for the same class.
        """
        return self.points[-1].average == 0


def levels(eps: float) -> Iterator[float]:
    """0, ε/4, ε/2, ε, 2ε, 4ε, … and at last 1."""
    yield 0.0
    level = eps / FIRST_PART
    while level < LARGEST:
        yield level
        level *= 2
    yield LARGEST


def accuracy_curve(
    name: str,
    attack: Attack,
    model: nn.Module,
    images: LabelledImages,
    *,
    num_classes: int,
    eps: float,
    device: torch.device,
    seed: int,
    on_level: Callable[[float, int, int, float], None] = lambda level, done, total, accuracy: None,
) -> Curve:
    """Attack a network in ever larger balls, with a step of ε/4 in each, until nothing is left, at most up to ε = 1.

    Args:
        name: of the attack.
        attack: one that keeps within the L∞ ball of the threat model it is given.
        model: in eval mode, on the device, in float32.
        images: the test images.
        num_classes: K.
        eps: a radius that is to be among the points, even where a smaller one leaves nothing.
        device: where the model is.
        seed: of the attack's random draws.
        on_level: told how it goes: ε, images done, images in all, accuracy so far.

    Raises:
        DfrdBenchError: the attack says of no ball that it keeps within it, or of no steps that it takes: AutoAttack at
            every ε would take hours.
    """
    parameters = attack.parameters(ThreatModel(eps=eps, step=eps / FIRST_PART))
    if parameters.get("eps") != eps:
        raise DfrdBenchError(f"{name} does not keep within a given ε, so there is no curve to draw: take e.g. pgd20.")
    if "steps" not in parameters:
        raise DfrdBenchError(f"{name} is no attack of a few steps: at every ε it would take too long. Take e.g. pgd20.")
    points: list[Point] = []
    said: list[str] = []

    def told(level: float, done: int, accuracy: float) -> None:
        on_level(level, done, len(images), accuracy)

    for level in levels(eps):
        with Precision("fp32").backends(same_shapes=False), noted(name) as notes:
            predicted = predict_under_attack(
                attack if level else clean,
                model,
                images,
                threat=ThreatModel(eps=level or eps, step=(level or eps) / FIRST_PART),
                device=device,
                seed=seed,
                on_batch=partial(told, level),
            ).numpy()
        confusion = confusion_matrix(images.labels.numpy(), predicted, num_classes)
        found = metrics(confusion.diagonal(), np.asarray(confusion.sum(axis=1)))
        points.append(Point(level, float(found["average"]), float(found["worst_class"])))
        said += notes
        if points[-1].average == 0 and level >= eps:
            break
    return Curve(name, eps, tuple(points), tuple(dict.fromkeys(said)))
