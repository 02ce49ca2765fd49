"""Lessons without a teacher: natural and adversarial training, and TRADES."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from dfrd_bench.attacks.projected_gradient import cross_entropy
from dfrd_bench.distillation.inner_attack import InnerAttack
from dfrd_bench.distillation.lessons import Batch, PerImage
from dfrd_bench.distillation.losses import kl_per_image
from dfrd_bench.problem import Precision


@dataclass(frozen=True)
class NaturalLesson:
    """CE(f^S(x), y): not robust.

    Attributes:
        precision: of the student's passes.
    """

    precision: Precision

    def __call__(self, student: nn.Module, batch: Batch, generator: torch.Generator) -> PerImage:
        """One pass, no attack."""
        return PerImage({"student": cross_entropy(self.precision.logits(student, batch.x), batch.labels)})


@dataclass(frozen=True)
class AdversarialLesson:
    """CE(f^S(x_adv), y): standard adversarial training (Madry et al. 2018, eq. 2.1).

    Attributes:
        attack: makes x_adv.
    """

    attack: InnerAttack

    def __call__(self, student: nn.Module, batch: Batch, generator: torch.Generator) -> PerImage:
        """Attack, then one pass."""
        attacked = self.attack(student, batch, generator)
        logits = self.attack.problem.precision.logits(student, attacked.x)
        return PerImage({"student": cross_entropy(logits, batch.labels)}, attacked.withstood)


@dataclass(frozen=True)
class TradesLesson:
    """CE(f^S(x), y) + β·KL(f^S(x), f^S(x_adv)) (Zhang et al. 2019, eq. 5); gradients flow through both passes.

    Attributes:
        attack: makes x_adv.
        weight: β.
    """

    attack: InnerAttack
    weight: float

    def __call__(self, student: nn.Module, batch: Batch, generator: torch.Generator) -> PerImage:
        """Attack, then a clean and an adversarial pass."""
        attacked, precision = self.attack(student, batch, generator), self.attack.problem.precision
        clean = precision.logits(student, batch.x)
        adversarial = precision.logits(student, attacked.x)
        terms = {
            "natural": cross_entropy(clean, batch.labels),
            "robust": self.weight * kl_per_image(clean, adversarial),
        }
        return PerImage(terms, attacked.withstood, adversarial.detach())
