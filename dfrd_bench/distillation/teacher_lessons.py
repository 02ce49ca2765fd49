"""Lessons of a robust teacher: ARD, IAD and RSLAD, each its attack's images and a loss per image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dfrd_bench.distillation.inner_attack import InnerAttack
from dfrd_bench.distillation.label_lessons import label_loss
from dfrd_bench.distillation.lessons import Batch, PerImage
from dfrd_bench.distillation.losses import Reduction, kl_per_image


def divergence(
    teacher: Tensor, student: Tensor, *, temperature: float = 1.0, reduction: Reduction = "batchmean"
) -> Tensor:
    """τ²·KL(f^T, f^S) at a temperature per image: logits [N, K] twice -> [N]; with "mean" divided by K.

    The mean over images of either is `dfrd_bench.distillation.losses.kl` with that reduction.
    """
    value = temperature**2 * kl_per_image(teacher, student, temperature)
    return value / teacher.shape[1] if reduction == "mean" else value


@dataclass(frozen=True)
class ARDLesson:
    """α·τ²·KL(f^T(x), f^S(x_adv)) at temperature τ + (1 − α)·CE(f^S(x), y) (Goldblum et al. 2020; Fair-ARD eq. 2).

    The clean pass follows the adversarial one and moves BatchNorm's statistics, also where α = 1 and nothing else comes of it.

    Attributes:
        attack: makes x_adv.
        temperature: τ.
        alpha: α.
        label_temperature: of the cross-entropy.
        smoothing: of the labels, see `label_loss`.
        reduction: of the KL, see `divergence`.
    """

    attack: InnerAttack
    temperature: float = 30.0
    alpha: float = 1.0
    label_temperature: float = 30.0
    reduction: Reduction = "batchmean"
    smoothing: float = 0.0

    def __call__(self, student: nn.Module, batch: Batch, generator: torch.Generator) -> PerImage:
        """Attack, then an adversarial and a clean pass."""
        attacked, precision = self.attack(student, batch, generator), self.attack.problem.precision
        adversarial = precision.logits(student, attacked.x)
        soft = divergence(batch.taught, adversarial, temperature=self.temperature, reduction=self.reduction)
        with torch.set_grad_enabled(self.alpha < 1):
            clean = precision.logits(student, batch.x)
        terms = {"adversarial": self.alpha * soft}
        if self.alpha < 1:
            hard = label_loss(clean / self.label_temperature, batch.labels, self.smoothing)
            terms["labels"] = (1 - self.alpha) * hard
        return PerImage(terms, attacked.withstood, adversarial.detach())


@dataclass(frozen=True)
class IADLesson:
    """τ²·KL(f^T(x), f^S(x_adv)) + (1 − a)·KL(f^S(x), f^S(x_adv)), a = p^T_y(x_adv)^β (Zhu et al. 2022, IAD-I).

    The less the teacher is sure of the label on the adversarial image, the more the student asks itself.

    Attributes:
        attack: makes x_adv.
        temperature: τ.
        exponent: β.
        introspection: whether the student asks itself yet; without, it learns as by ARD with α = 1.
        partial_trust: whether the teacher's term is weighted by a as well.
    """

    attack: InnerAttack
    temperature: float = 1.0
    exponent: float = 0.1
    introspection: bool = True
    partial_trust: bool = False

    def __call__(self, student: nn.Module, batch: Batch, generator: torch.Generator) -> PerImage:
        """Attack, then an adversarial and a clean pass; gradients flow through both once the student asks itself."""
        attacked, problem = self.attack(student, batch, generator), self.attack.problem
        adversarial = problem.precision.logits(student, attacked.x)
        with torch.set_grad_enabled(self.introspection):
            clean = problem.precision.logits(student, batch.x)
        taught = divergence(batch.taught, adversarial, temperature=self.temperature)
        if not self.introspection:
            return PerImage({"adversarial": taught}, attacked.withstood)
        with torch.no_grad():
            asked = problem.precision.logits(problem.teacher, attacked.x).softmax(dim=1)
            trust = asked.gather(1, batch.labels[:, None])[:, 0] ** self.exponent
        terms = {
            "adversarial": trust * taught if self.partial_trust else taught,
            "introspection": (1 - trust) * kl_per_image(clean, adversarial),
        }
        return PerImage(terms, attacked.withstood)


@dataclass(frozen=True)
class RSLADLesson:
    """w·KL(f^T(x), f^S(x_adv)) + (1 − w)·KL(f^T(x), f^S(x)) (Zi et al. 2021, eq. 7): no labels.

    Attributes:
        attack: makes x_adv.
        adversarial_weight: w.
        reduction: of both KLs, see `divergence`.
    """

    attack: InnerAttack
    adversarial_weight: float = 5 / 6
    reduction: Reduction = "batchmean"

    def __call__(self, student: nn.Module, batch: Batch, generator: torch.Generator) -> PerImage:
        """Attack, then an adversarial and a clean pass."""
        attacked, precision = self.attack(student, batch, generator), self.attack.problem.precision
        adversarial = divergence(batch.taught, precision.logits(student, attacked.x), reduction=self.reduction)
        clean = divergence(batch.taught, precision.logits(student, batch.x), reduction=self.reduction)
        w = self.adversarial_weight
        return PerImage({"adversarial": w * adversarial, "clean": (1 - w) * clean}, attacked.withstood)
