"""Lessons without a teacher: natural and adversarial training, and TRADES, which may have one in the label's place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrd_bench.distillation.inner_attack import InnerAttack
from dfrd_bench.distillation.lessons import Batch, PerImage
from dfrd_bench.distillation.losses import kl_per_image
from dfrd_bench.problem import Precision


def label_loss(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy per image to its label, of which a share is spread over all K classes: [N, K], [N] -> [N]."""
    return F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)


@dataclass(frozen=True)
class NaturalLesson:
    """CE(f^S(x), y): not robust.

    Attributes:
        precision: of the student's passes.
        smoothing: see `label_loss`.
    """

    precision: Precision
    smoothing: float = 0.0

    def __call__(self, student: nn.Module, batch: Batch, generator: torch.Generator) -> PerImage:
        """One pass, no attack."""
        return PerImage({"student": label_loss(self.precision.logits(student, batch.x), batch.labels, self.smoothing)})


@dataclass(frozen=True)
class AdversarialLesson:
    """CE(f^S(x_adv), y): standard adversarial training (Madry et al. 2018, eq. 2.1).

    Attributes:
        attack: makes x_adv.
        smoothing: see `label_loss`.
    """

    attack: InnerAttack
    smoothing: float = 0.0

    def __call__(self, student: nn.Module, batch: Batch, generator: torch.Generator) -> PerImage:
        """Attack, then one pass."""
        attacked = self.attack(student, batch, generator)
        logits = self.attack.problem.precision.logits(student, attacked.x)
        return PerImage({"student": label_loss(logits, batch.labels, self.smoothing)}, attacked.withstood)


@dataclass(frozen=True)
class TradesLesson:
    """CE(f^S(x), y) + β·KL(f^S(x), f^S(x_adv)) (Zhang et al. 2019, eq. 5); gradients flow through both passes.

    Attributes:
        attack: makes x_adv.
        weight: β.
        smoothing: see `label_loss`.
        one_batch: whether clean and adversarial images pass the student together, so that BatchNorm normalises both by the
            statistics of both; else one after the other.
        taught: KL(f^T(x), f^S(x)) in place of the cross-entropy: the teacher is asked about clean images, and the student is held
            to its own answer around them ("soft TRADES").
        defers: with `taught`, where the teacher takes x_adv for another class than x, KL(f^T(x_adv), f^S(x_adv)) in place of the
            divergence from its own answer: there is none that the teacher would hold.
    """

    attack: InnerAttack
    weight: float
    smoothing: float = 0.0
    one_batch: bool = False
    taught: bool = False
    defers: bool = False

    def __call__(self, student: nn.Module, batch: Batch, generator: torch.Generator) -> PerImage:
        """Attack, then a clean and an adversarial pass, or one of both; and one of the teacher, to whom the student defers."""
        attacked, precision = self.attack(student, batch, generator), self.attack.problem.precision
        if self.one_batch:
            clean, adversarial = precision.logits(student, torch.cat([batch.x, attacked.x])).chunk(2)
        else:
            clean, adversarial = precision.logits(student, batch.x), precision.logits(student, attacked.x)
        natural = kl_per_image(batch.taught, clean) if self.taught else label_loss(clean, batch.labels, self.smoothing)
        robust = kl_per_image(clean, adversarial)
        if self.defers:
            with torch.no_grad():
                there = precision.logits(self.attack.problem.teacher, attacked.x)
            other = there.argmax(dim=1) != batch.taught.argmax(dim=1)
            robust = torch.where(other, kl_per_image(there, adversarial), robust)
        terms = {"natural": natural, "robust": self.weight * robust}
        return PerImage(terms, attacked.withstood, adversarial.detach())
