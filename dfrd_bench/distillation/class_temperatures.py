"""Temperatures of the teacher's soft labels, one per class, and the lesson that uses them (ABSLD, Zhao et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from dfrd_bench.attacks.projected_gradient import cross_entropy
from dfrd_bench.distillation.inner_attack import InnerAttack
from dfrd_bench.distillation.lessons import Batch, PerImage
from dfrd_bench.distillation.losses import Reduction
from dfrd_bench.distillation.teacher_lessons import divergence
from dfrd_bench.method import Resumable

KINDS = ("adv", "nat")
LIMITS = (0.5, 5.0)
ROUNDING = 1e-6  # of the mean risk: smaller gaps are float32's, and would move τ as far as any other

Kinds = Literal["own", "released"]
Risk = Literal["mean", "sum"]


class ClassTemperatures(Resumable):
    """τ of every class, once for adversarial and once for clean images: harder classes get sharper labels.

    After each epoch τ_c ← clip(τ_c − ρ·(R_c − R̄) / max|R − R̄|, 0.5, 5), R_c the student's risk on class c; all start at 1.

    Args:
        num_classes: K.
        device: where labels are.
        kinds: each kind of image has its "own" τ, or, as "released", both are divided by the product of the two.
        risk: a class's "mean" cross-entropy, or its "sum" (released), which counts its size too.
    """

    def __init__(self, num_classes: int, device: torch.device, *, kinds: Kinds = "own", risk: Risk = "mean") -> None:
        self.kinds, self.risk = kinds, risk
        self.values = torch.ones(len(KINDS), num_classes, dtype=torch.float64, device=device)
        self.total = torch.zeros(len(KINDS), num_classes, dtype=torch.float64, device=device)
        self.count = torch.zeros(num_classes, dtype=torch.float64, device=device)

    def soften(self, teacher: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's logits [N, K] by the temperatures of the images' classes [N]: for adversarial, and for clean ones."""
        adversarial, natural = self.values.float()[:, labels, None]
        if self.kinds == "released":
            adversarial = natural = adversarial * natural
        return teacher / adversarial, teacher / natural

    def observe(self, labels: Tensor, adversarial: Tensor, clean: Tensor) -> None:
        """Add a batch's cross-entropies to this epoch's risks: labels [N], the student's logits [N, K] twice."""
        for row, logits in enumerate((adversarial.detach(), clean.detach())):
            self.total[row].index_add_(0, labels, cross_entropy(logits, labels).double())
        self.count.index_add_(0, labels, torch.ones_like(labels, dtype=torch.float64))

    def end_epoch(self, rate: float) -> dict[str, float]:
        """Move every τ by at most ρ, `rate`, and begin anew; returns τ for the history.

        Where all risks are equal τ stays; that of a class which had no image too, and R̄ is without it.
        """
        risks, seen = self.total / self.count.clamp(min=1) if self.risk == "mean" else self.total, self.count > 0
        mean = risks.sum(dim=1, keepdim=True) / seen.sum().clamp(min=1)
        gap = torch.where(seen, risks - mean, 0.0)
        largest = gap.abs().amax(dim=1, keepdim=True)
        step = torch.where(largest > ROUNDING * mean, gap / largest, 0.0)
        self.values = (self.values - rate * step).clamp(*LIMITS)
        self.total, self.count = torch.zeros_like(self.total), torch.zeros_like(self.count)
        rows = zip(KINDS, self.values.tolist(), strict=True)
        return {f"tau_{kind}/{k}": value for kind, row in rows for k, value in enumerate(row)}


@dataclass(frozen=True)
class ABSLDLesson:
    """w·KL(f^T(x)/τ_adv, f^S(x_adv)) + (1 − w)·KL(f^T(x)/τ_nat, f^S(x)): RSLAD with a temperature for each class's labels.

    Only the teacher's logits are divided. The attack drives the student from the label that it is taught.

    Attributes:
        attack: makes x_adv.
        temperatures: τ, which learn the student's risks from every batch.
        adversarial_weight: w.
        reduction: of both KLs, see `divergence`.
    """

    attack: InnerAttack
    temperatures: ClassTemperatures
    adversarial_weight: float = 5 / 6
    reduction: Reduction = "batchmean"

    def __call__(self, student: nn.Module, batch: Batch, generator: torch.Generator) -> PerImage:
        """Attack, then an adversarial and a clean pass."""
        adversarial_labels, clean_labels = self.temperatures.soften(batch.taught, batch.labels)
        attacked = self.attack(student, replace(batch, teacher_logits=adversarial_labels), generator)
        precision, w = self.attack.problem.precision, self.adversarial_weight
        adversarial = precision.logits(student, attacked.x)
        clean = precision.logits(student, batch.x)
        self.temperatures.observe(batch.labels, adversarial, clean)
        terms = {
            "adversarial": w * divergence(adversarial_labels, adversarial, reduction=self.reduction),
            "clean": (1 - w) * divergence(clean_labels, clean, reduction=self.reduction),
        }
        return PerImage(terms, attacked.withstood)
