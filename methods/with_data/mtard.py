"""MTARD: a robust teacher for adversarial images, a natural one for clean images, and a balance between the two."""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor

from dfrd_bench.distillation.learner import AttackedConfig, Learner, Shares
from dfrd_bench.distillation.two_teachers import TERMS, LossBalance, MTARDLesson
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.method import MethodConfig, Reference, param
from dfrd_bench.problem import Problem

PAPER = "Zhao et al. 2022"
RELEASED = "Zhao et al. 2022, released code"


class MTARDConfig(AttackedConfig):
    """MTARD's hyper-parameters."""

    epochs: int = param(300, "passes over the training images", PAPER, ge=1)
    decay_at: Shares = param((215 / 300, 260 / 300, 285 / 300), "after which shares of the epochs lr falls", PAPER)
    balance_rate: float = param(0.025, "η, how far the weights move per step; falls with lr", RELEASED, ge=0, le=1)
    balance_exponent: float = param(1.0, "b, exponent of a loss's relative progress", RELEASED, ge=0)
    reduction: Literal["batchmean", "mean"] = param(
        "batchmean", "KL averaged over images, or over images × classes (released)", "shared recipe"
    )


class MTARD(Learner):
    """MTARD: multi-teacher adversarial robustness distillation, a robust and a natural teacher."""

    Config = MTARDConfig
    needs_natural_teacher = True
    asks_about_clean = False
    reference = Reference(
        "Enhanced Accuracy and Robustness via Multi-Teacher Adversarial Distillation",
        "ECCV 2022",
        "https://www.ecva.net/papers/eccv_2022/papers_ECCV/papers/136640577.pdf",
    )

    def __init__(self, problem: Problem, config: MethodConfig) -> None:
        super().__init__(problem, config)
        self.mtard = cast(MTARDConfig, config)
        self.balance = LossBalance(problem.device, self.mtard.balance_exponent)
        self.rate = self.mtard.balance_rate

    def make_lesson(self) -> MTARDLesson:
        """Each teacher's predictions on the images it is good at; the attack drives the student away from the label."""
        c = cast(MTARDConfig, self.config)
        if self.needs_natural_teacher and self.problem.natural_teacher is None:
            raise DfrdBenchError(f"{type(self).__name__} has two teachers, and this problem has no natural one.")
        return MTARDLesson(self.attack("label"), self.problem.natural_teacher, c.reduction)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """As any; η falls with lr."""
        self.rate = self.mtard.balance_rate * self.decayed(epoch)
        numbers = super().train_epoch(epoch)
        return {**numbers, **{f"v/{name}": v for name, v in zip(TERMS, self.balance.shares.tolist(), strict=True)}}

    def balanced(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """v_a·L_adv + v_n·L_nat, from weights that these very losses, weighted by class where the method is fair, have moved."""
        shares = self.balance.of(torch.stack([terms[name] for name in TERMS]), self.rate)
        return {name: share * terms[name] for name, share in zip(TERMS, shares, strict=True)}
