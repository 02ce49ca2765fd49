"""The lesson of two teachers, a robust and a natural one, and the balance between them (MTARD, Zhao et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dfrd_bench.distillation.inner_attack import InnerAttack
from dfrd_bench.distillation.lessons import Batch, PerImage
from dfrd_bench.distillation.losses import Reduction
from dfrd_bench.distillation.teacher_lessons import divergence
from dfrd_bench.method import Resumable

TERMS = ("adversarial", "natural")


@dataclass(frozen=True)
class MTARDLesson:
    """KL(f^Ta(x_adv), f^S(x_adv)) and KL(f^Tn(x), f^S(x)): each teacher for the images that it is good at.

    Attributes:
        attack: makes x_adv.
        natural: f^Tn; None as Fair-MTARD's released code, where the clean image has the target of the adversarial one,
            f^Ta(x_adv).
        reduction: of both KLs, see `divergence`.
    """

    attack: InnerAttack
    natural: nn.Module | None
    reduction: Reduction = "batchmean"

    def __call__(self, student: nn.Module, batch: Batch, generator: torch.Generator) -> PerImage:
        """Attack, then an adversarial and a clean pass."""
        attacked, problem = self.attack(student, batch, generator), self.attack.problem
        with torch.no_grad():
            robust = problem.precision.logits(problem.teacher, attacked.x)
            natural = robust if self.natural is None else problem.precision.logits(self.natural, batch.x)
        adversarial = divergence(robust, problem.precision.logits(student, attacked.x), reduction=self.reduction)
        clean = divergence(natural, problem.precision.logits(student, batch.x), reduction=self.reduction)
        return PerImage(dict(zip(TERMS, (adversarial, clean), strict=True)), attacked.withstood)


class LossBalance(Resumable):
    """Weights of two losses, which move towards the one that has fallen less since the first batch; they add up to 1.

    v_n ← v_n − η·(v_n − r_n / (r_a + r_n)), r = (L / L⁰)^b, v_a = 1 − v_n (MTARD, "normalisation loss balance").

    Args:
        device: where losses are.
        exponent: b.
    """

    def __init__(self, device: torch.device, exponent: float = 1.0) -> None:
        self.exponent = exponent
        self.shares = torch.full((2,), 0.5, device=device)
        self.first = torch.zeros(2, device=device)

    def of(self, losses: Tensor, rate: float) -> Tensor:
        """The weights of this batch's losses (v_a, v_n), moved by them first: [2] -> [2]; no gradient flows through them.

        Args:
            losses: adversarial and natural.
            rate: η.
        """
        tiny = torch.finfo(torch.float32).tiny
        now = losses.detach().float().clamp(min=tiny)  # a KL of 0, or rounded below it, has neither ratio nor power
        self.first = torch.where(self.first > 0, self.first, now)
        progress = (now / self.first) ** self.exponent
        natural = self.shares[1] - rate * (self.shares[1] - progress[1] / progress.sum())
        self.shares = torch.stack([1 - natural, natural])
        return self.shares
