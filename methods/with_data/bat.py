"""BAT: two adversarial images of each, just before and just beyond the decision boundary, and predictions near uniform."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from dfrd_bench.distillation.early_stopping import StoppedAttack
from dfrd_bench.distillation.label_lessons import label_loss
from dfrd_bench.distillation.learner import AttackedConfig, LabelledConfig, Learner, Shares
from dfrd_bench.distillation.lessons import Batch, Lesson, PerImage
from dfrd_bench.distillation.losses import entropy_per_image, kl_per_image
from dfrd_bench.method import Reference, param

RELEASED = "Sun et al. 2023, released code"


class BATConfig(AttackedConfig, LabelledConfig):
    """BAT's hyper-parameters."""

    decay_at: Shares = param((0.375, 0.45, 0.5), "after which shares of the epochs lr falls: 75, 90, 100", RELEASED)
    robust_weight: float = param(6.0, "weight of the KL between clean image and the one beyond", RELEASED, ge=0)
    uniform_weight: float = param(1.0, "weight of both KLs to the uniform prediction", RELEASED, ge=0)
    beyond: int = param(1, "τ: misclassified iterates that are passed over", RELEASED, ge=0)


@dataclass(frozen=True)
class BATLesson:
    """CE(f^S(x̂), y) + β·KL(f^S(x), f^S(x̌)) + u·(KL(f^S(x̂), U) + KL(f^S(x̌), U)); gradients flow through all passes.

    x̂ is the attack's last iterate that is classified correctly, x̌ lies beyond the boundary, see `StoppedAttack`.

    Attributes:
        attack: makes x̂ and x̌.
        robust_weight: β.
        uniform_weight: u.
        smoothing: of the labels, see `label_loss`.
    """

    attack: StoppedAttack
    robust_weight: float = 6.0
    uniform_weight: float = 1.0
    smoothing: float = 0.0

    def __call__(self, student: nn.Module, batch: Batch, generator: torch.Generator) -> PerImage:
        """Attack, then the passes of x̂, x̌ and x."""
        stopped, precision = self.attack(student, batch, generator), self.attack.attack.problem.precision
        inside = precision.logits(student, stopped.inside)
        outside = precision.logits(student, stopped.outside)
        clean = precision.logits(student, batch.x)
        terms = {
            "inside": label_loss(inside, batch.labels, self.smoothing),
            "robust": self.robust_weight * kl_per_image(clean, outside),
            "uniform": self.uniform_weight * (kl_to_uniform(inside) + kl_to_uniform(outside)),
        }
        return PerImage(terms, stopped.withstood)


def kl_to_uniform(logits: Tensor) -> Tensor:
    """KL(f, U) = log K − H(f) per image: [N, K] -> [N]; the other way round than `kl_from_uniform_per_image`."""
    return math.log(logits.shape[1]) - entropy_per_image(logits)


class BAT(Learner):
    """BAT: balance adversarial training between the classes and within them, no teacher."""

    Config = BATConfig
    has_teacher = False
    reference = Reference("Improving Robust Fairness via Balance Adversarial Training", "AAAI 2023", "arXiv:2209.07534")

    def make_lesson(self) -> Lesson:
        """TRADES's attack, its path left on either side of the boundary."""
        c = cast(BATConfig, self.config)
        stopped = StoppedAttack(self.attack("clean"), c.beyond)
        return BATLesson(stopped, c.robust_weight, c.uniform_weight, c.label_smoothing)
