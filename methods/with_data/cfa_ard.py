"""CFA-ARD (our reading): ARD with margins class by class, and weights averaged over the epochs that are fair enough."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from dfrd_bench.distillation.inner_attack import Away, InnerAttack
from dfrd_bench.distillation.lessons import PerImage
from dfrd_bench.distillation.margins import ClassMargins
from dfrd_bench.distillation.tally import ClassTally
from dfrd_bench.distillation.validation import attacked_logits, class_accuracies, held_out
from dfrd_bench.distillation.weight_averaging import EpochAverage
from dfrd_bench.method import MethodConfig, param
from dfrd_bench.problem import Problem, TrainingProblem

from .ard import ARD, ARDConfig
from .fair_ard import FAIR_ARD

PAPER = "CFA (Wei et al. 2023)"
RELEASED = "CFA, released code"
MANY_CLASSES = 100


class CFAARDConfig(ARDConfig):
    """ARD's hyper-parameters, and CFA's."""

    margins: bool = param(True, "margins ε_c = (λ + A_c)·ε from the class's robust accuracy A_c (CCM)", PAPER)
    margin_base: float = param(0.5, "λ₁, in ε_c", PAPER, ge=0)
    begin: float = param(0.05, "share of the epochs after which margins differ", f"{RELEASED}: epoch 10", ge=0, le=1)
    average: bool = param(True, "keep an average of the weights of fair epochs (FAWA)", PAPER)
    average_decay: float = param(0.88, "how much of the average an epoch leaves", RELEASED, ge=0, lt=1)
    threshold: float = param(
        0.2, "worst class's robust accuracy on validation images from which an epoch counts", RELEASED, ge=0, le=1
    )
    validation_share: float = param(
        0.02,
        "share of every class held out for validation (100 classes: 0.05)",
        f"{RELEASED}: 100 of 5,000",
        gt=0,
        lt=1,
    )
    validation_steps: int = param(10, "steps of the PGD attack on validation images", RELEASED, ge=1)

    @classmethod
    def for_classes(cls, num_classes: int) -> dict[str, Any]:
        """CIFAR-100's 25 of 500 images."""
        return {
            **super().for_classes(num_classes),
            **({"validation_share": 0.05} if num_classes >= MANY_CLASSES else {}),
        }


class CFAARD(ARD):
    """CFA-ARD (our reading; no code was released): ARD with CFA's margins per class and its averaging of weights.

    Fair-ARD's paper compares with it (section 5.2, table 4) without details. CFA's third part, a weight per class between the
    two terms of TRADES, has nothing to act on. The student is the average over the epochs that were fair enough, else the last.
    """

    Config = CFAARDConfig
    reference = FAIR_ARD

    def __init__(self, problem: Problem, config: MethodConfig) -> None:
        c, k, device = cast(CFAARDConfig, config), problem.num_classes, problem.device
        training, self.validation = held_out(cast(TrainingProblem, problem), c.validation_share)
        self.margins, self.robust = ClassMargins(k, device), ClassTally(k, device)
        self.average = EpochAverage(c.average_decay, device)
        self.measuring = torch.Generator(device).manual_seed(problem.seed)
        super().__init__(training, config)

    def attack(self, away: Away) -> InnerAttack:
        """ARD's, within the margins of each class; its step stays."""
        own = cast(CFAARDConfig, self.config).margins
        return replace(super().attack(away), margins=self.margins if own else None)

    def observe(self, labels: Tensor, found: PerImage) -> None:
        """Which images of each class withstood the attack, in the pass of the loss."""
        super().observe(labels, found)
        assert found.adversarial is not None, "ARD's lesson has them"
        self.robust.add(labels, (found.adversarial.argmax(dim=1) == labels)[:, None])

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """One pass over the training images that are not held out; then the average, which the last epoch makes the student."""
        c = cast(CFAARDConfig, self.config)
        numbers = {**super().train_epoch(epoch), **self.margins.numbers()}
        accuracies = self.robust.finish()[:, 0]
        numbers |= {f"robust/{k}": value for k, value in enumerate(accuracies.tolist())}
        if c.margins and epoch + 1 >= round(c.begin * c.epochs):
            self.margins.set(c.margin_base + accuracies)
        if c.average:
            worst = self.worst_class()
            if worst >= c.threshold:
                self.average.update(self.student)
            if epoch == c.epochs - 1 and self.average.weights:
                self.average.copy_to(self.student)
            numbers["validation_worst"] = worst
        return numbers

    def worst_class(self) -> float:
        """The least robust accuracy of a class on validation images, under PGD with the threat model's ε."""
        c, part = cast(CFAARDConfig, self.config), self.validation
        attack = InnerAttack(problem=part, away="label", steps=c.validation_steps, step=c.attack_step, start="uniform")
        logits = attacked_logits(
            self.student, part, attack, self.measuring, batch_size=c.batch_size, progress=self.progress
        )
        return float(class_accuracies(logits, part.labels).min())

    def findings(self) -> tuple[str, ...]:
        """Whether no epoch was fair enough."""
        c = cast(CFAARDConfig, self.config)
        if not c.average or self.average.weights:
            return ()
        return (
            f"No epoch's worst class had a robust accuracy of {c.threshold:g} on validation images: nothing was averaged, "
            "and the student is that of the last epoch.",
        )
