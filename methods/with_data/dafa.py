"""DAFA: TRADES, whose hard classes get more weight and margin from the easy ones that they are taken for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from dfrd_bench.distillation.inner_attack import Away, InnerAttack
from dfrd_bench.distillation.learner import Shares
from dfrd_bench.distillation.lessons import Batch, Lesson, PerImage
from dfrd_bench.distillation.margins import ClassMargins
from dfrd_bench.distillation.tally import ClassTally
from dfrd_bench.method import MethodConfig, Reference, param
from dfrd_bench.problem import Problem

from .trades import TRADES, TRADESConfig

RELEASED = "Lee et al. 2024, released code"
MANY_CLASSES = 100


class DAFAConfig(TRADESConfig):
    """TRADES's hyper-parameters, and DAFA's."""

    epochs: int = param(110, "passes over the training images", RELEASED, ge=1)
    decay_at: Shares = param((100 / 110, 105 / 110), "after which shares of the epochs lr falls", RELEASED)
    nesterov: bool = param(True, "Nesterov's momentum", RELEASED)
    weight_decay: float = param(5e-4, "student: SGD weight decay", RELEASED, ge=0)
    warmup: float = param(70 / 110, "share of the epochs of plain TRADES, before classes differ", RELEASED, ge=0, le=1)
    strength: float = param(1.0, "λ: how far weights depart from 1; 0 is TRADES (100 classes: 1.5)", RELEASED, ge=0)

    @classmethod
    def for_classes(cls, num_classes: int) -> dict[str, Any]:
        """CIFAR-100's λ."""
        return {**super().for_classes(num_classes), **({"strength": 1.5} if num_classes >= MANY_CLASSES else {})}


@dataclass(frozen=True)
class DAFALesson:
    """TRADES's, whose natural term is weighted by W of the image's class.

    Attributes:
        lesson: TRADES's.
        margins: W, by which its attack is scaled as well.
    """

    lesson: Lesson
    margins: ClassMargins

    def __call__(self, student: nn.Module, batch: Batch, generator: torch.Generator) -> PerImage:
        """TRADES's passes."""
        found = self.lesson(student, batch, generator)
        weighted = self.margins.radii[batch.labels] * found.terms["natural"]
        return replace(found, terms={**found.terms, "natural": weighted})


def distance_aware_weights(predictions: Tensor, strength: float) -> Tensor:
    """W_i = 1 + λ·Σ_{j≠i} (M_ij·M_jj where M_ii < M_jj, else −M_ji·M_ii): M [K, K] -> [K], cut at 0.

    What a hard class gains by an easy one that it is taken for, that one loses (Lee et al. 2024; `utils.py:35-53`).

    Args:
        predictions: M, mean probabilities: M_ij that of class j on adversarial images of class i.
        strength: λ.
    """
    own = predictions.diagonal()
    gained, lost = predictions * own[None, :], predictions.T * own[:, None]
    moved = torch.where(own[:, None] < own[None, :], gained, -lost).fill_diagonal_(0)
    return (1 + strength * moved.sum(dim=1)).clamp(min=0)


class DAFA(TRADES):
    """DAFA: distance-aware fair adversarial training, margins and weights by which class is taken for which, no teacher."""

    Config = DAFAConfig
    reference = Reference("DAFA: Distance-Aware Fair Adversarial Training", "ICLR 2024", "arXiv:2401.12532")

    def __init__(self, problem: Problem, config: MethodConfig) -> None:
        k, device = problem.num_classes, problem.device
        self.margins, self.predictions = ClassMargins(k, device), ClassTally(k, device, numbers=k)
        super().__init__(problem, config)

    def attack(self, away: Away) -> InnerAttack:
        """TRADES's, with ε and step times W of the class."""
        return replace(super().attack(away), margins=self.margins)

    def make_lesson(self) -> Lesson:
        """TRADES's, weighted."""
        return DAFALesson(super().make_lesson(), self.margins)

    def observe(self, labels: Tensor, found: PerImage) -> None:
        """What each class is taken for under attack, in the pass of the loss."""
        super().observe(labels, found)
        assert found.adversarial is not None, "TRADES's lesson has them"
        self.predictions.add(labels, found.adversarial.softmax(dim=1))

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """One pass over the training images; after the last of the warm-up W is made of its predictions."""
        c = cast(DAFAConfig, self.config)
        numbers = {**super().train_epoch(epoch), **self.margins.numbers()}
        predictions = self.predictions.finish()
        if epoch + 1 == round(c.warmup * c.epochs):
            weights = distance_aware_weights(predictions, c.strength)
            self.margins.set(weights, weights)
        return numbers
