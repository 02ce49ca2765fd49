"""Lessons of a robust teacher that is asked about the adversarial image: AdaAD, and IGDM, which matches gradients too."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from dfrd_bench.distillation.inner_attack import InnerAttack
from dfrd_bench.distillation.lessons import Batch, PerImage
from dfrd_bench.distillation.losses import kl_per_image


@dataclass(frozen=True)
class AdaADLesson:
    """KL(f^T(x_adv), f^S(x_adv)): the teacher is asked where the two differ most (Huang et al. 2023).

    Attributes:
        attack: makes x_adv.
    """

    attack: InnerAttack

    def __call__(self, student: nn.Module, batch: Batch, generator: torch.Generator) -> PerImage:
        """Attack, then one pass."""
        attacked, problem = self.attack(student, batch, generator), self.attack.problem
        with torch.no_grad():
            taught = problem.precision.logits(problem.teacher, attacked.x)
        return PerImage(
            {"adversarial": kl_per_image(taught, problem.precision.logits(student, attacked.x))}, attacked.withstood
        )


@dataclass(frozen=True)
class IGDMLesson:
    """AdaAD's loss + w·KL(Δf^T, Δf^S), Δf = f(x + δ) − f(x − δ) as logits, δ the attack's (Lee et al. 2025, IGDM).

    The difference is, to first order, twice the gradient along δ. x − δ may lie outside [0, 1], as in the released code.

    Attributes:
        attack: makes x + δ.
        weight: w.
    """

    attack: InnerAttack
    weight: float = 1.0

    def __call__(self, student: nn.Module, batch: Batch, generator: torch.Generator) -> PerImage:
        """Attack, then a pass on either side of the clean image; gradients flow through both."""
        attacked, problem = self.attack(student, batch, generator), self.attack.problem
        sides = (attacked.x, 2 * batch.x - attacked.x)
        with torch.no_grad():
            taught, opposite = (problem.precision.logits(problem.teacher, x) for x in sides)
        learnt, other = (problem.precision.logits(student, x) for x in sides)
        terms = {
            "adversarial": kl_per_image(taught, learnt),
            "gradients": self.weight * kl_per_image(taught - opposite, learnt - other),
        }
        return PerImage(terms, attacked.withstood)
