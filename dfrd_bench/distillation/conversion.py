"""How a student learns from a batch: plainly (DFKD), or robustly (DFRD). The conversion of one into the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrd_bench.distillation.adversaries import DivergenceAdversary
from dfrd_bench.distillation.endurance import Count, Endurance
from dfrd_bench.distillation.lessons import Batch, Lesson
from dfrd_bench.distillation.losses import Reduction, kl, rslad

Adversary = Callable[[nn.Module, Tensor, Tensor, torch.Generator], Tensor]
"""(student, images, teacher logits, random source) -> adversarial images."""


class Distillation(Protocol):
    """A student's loss on a batch."""

    def __call__(
        self, student: nn.Module, x: Tensor, teacher_logits: Tensor, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Images [N, C, H, W] and f^T(x) [N, K] -> named loss terms, already weighted."""


Learnt = tuple[dict[str, Tensor], Tensor | None]
"""Named loss terms, already weighted, and how many steps of the attack each image withstood, [N]; None without an attack."""


@runtime_checkable
class ImageByImage(Protocol):
    """A student's loss on a batch, in which every image may have a weight."""

    def weighted(self, student: nn.Module, batch: Batch, weights: Tensor, generator: torch.Generator) -> Learnt:
        """The loss, each image's part of it times its weight [N]."""


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


@dataclass(frozen=True)
class SoftLabelDistillation(RobustDistillation):
    """RSLAD's loss on a batch and on its adversarial examples, in which every image may have a weight.

    Attributes:
        adversary: makes x_adv, and lets the steps be counted.
        loss: `rslad`, with an argument `weights`.
        count: which steps an image withstands, see `Endurance`.
    """

    adversary: DivergenceAdversary
    count: Count = "first"

    @classmethod
    def of(
        cls, adversary: DivergenceAdversary, *, adversarial_weight: float, reduction: Reduction, count: Count
    ) -> SoftLabelDistillation:
        """With the constants of the loss."""
        return cls(adversary, partial(rslad, adversarial_weight=adversarial_weight, reduction=reduction), count)

    def weighted(self, student: nn.Module, batch: Batch, weights: Tensor, generator: torch.Generator) -> Learnt:
        """With all weights 1 the same as without, to the bit."""
        endurance = Endurance(batch.labels, self.count)
        x_adv = self.adversary(student, batch.x, batch.taught, generator, endurance)
        loss = self.loss(batch.taught, student(batch.x), student(x_adv), weights=weights)  # type: ignore[call-arg]
        return {"student": loss}, endurance.steps


@dataclass(frozen=True)
class LessonDistillation:
    """A lesson as methods with data learn it, on images from anywhere.

    Attributes:
        lesson: an attack and a loss per image.
    """

    lesson: Lesson

    def weighted(self, student: nn.Module, batch: Batch, weights: Tensor, generator: torch.Generator) -> Learnt:
        """The mean over the batch of each of the lesson's terms."""
        found = self.lesson(student, batch, generator)
        return {name: (weights * term).mean() for name, term in found.terms.items()}, found.withstood
