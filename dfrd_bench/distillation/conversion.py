"""How a student learns from a batch: plainly (DFKD), or robustly (DFRD). The conversion of one into the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrd_bench.distillation.losses import kl

Adversary = Callable[[nn.Module, Tensor, Tensor, torch.Generator], Tensor]
"""(student, images, teacher logits, random source) -> adversarial images."""


class Distillation(Protocol):
    """A student's loss on a batch."""

    def __call__(
        self, student: nn.Module, x: Tensor, teacher_logits: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Images [N, C, H, W] and f^T(x) [N, K] -> named loss terms, already weighted."""


@dataclass(frozen=True)
class PlainDistillation:
    """KL(f^T(x), f^S(x)) and nothing else: a data-free method as its authors left it, not robust.

    Attributes:
        temperature: the method's own.
    """

    temperature: float = 1.0

    def __call__(
        self, student: nn.Module, x: Tensor, teacher_logits: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The student's divergence from the teacher on x."""
        return {"student": kl(teacher_logits, student(x), temperature=self.temperature)}


@dataclass(frozen=True)
class HardLabelDistillation:
    """Cross-entropy of the student to the class the teacher names: all that a teacher which hides its logits allows."""

    def __call__(
        self, student: nn.Module, x: Tensor, teacher_logits: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The student's surprise at the teacher's decision on x."""
        return {"student": F.cross_entropy(student(x).float(), teacher_logits.argmax(dim=1))}


@dataclass(frozen=True)
class RobustDistillation:
    """Attack the batch, then distill on both versions: turns any DFKD method into a DFRD method (FERD A.8).

    Attributes:
        adversary: makes x_adv from x.
        loss: (f^T(x), f^S(x), f^S(x_adv)), [N, K] each -> scalar.
    """

    adversary: Adversary
    loss: Callable[[Tensor, Tensor, Tensor], Tensor]

    def __call__(
        self, student: nn.Module, x: Tensor, teacher_logits: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The student's loss on x and on its adversarial examples."""
        x_adv = self.adversary(student, x, teacher_logits, generator)
        return {"student": self.loss(teacher_logits, student(x), student(x_adv))}
