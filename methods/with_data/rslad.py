"""RSLAD: the robust teacher's soft labels of the clean image, for both versions of it."""

from __future__ import annotations

from typing import Literal, cast

from dfrd_bench.distillation.learner import AttackedConfig, Learner, Shares
from dfrd_bench.distillation.lessons import Lesson
from dfrd_bench.distillation.teacher_lessons import RSLADLesson
from dfrd_bench.method import Reference, param

PAPER = "Zi et al. 2021"


class RSLADConfig(AttackedConfig):
    """RSLAD's hyper-parameters."""

    epochs: int = param(300, "passes over the training images", PAPER, ge=1)
    decay_at: Shares = param((215 / 300, 260 / 300, 285 / 300), "after which shares of the epochs lr falls", PAPER)
    adversarial_weight: float = param(5 / 6, "weight of the adversarial term", PAPER, ge=0, le=1)
    reduction: Literal["batchmean", "mean"] = param(
        "batchmean", "KL averaged over images, or over images × classes", "RSLAD released code: mean"
    )


class RSLAD(Learner):
    """RSLAD: robust soft label adversarial distillation."""

    Config = RSLADConfig
    reference = Reference(
        "Revisiting Adversarial Robustness Distillation: Robust Soft Labels Make Student Better",
        "ICCV 2021",
        "arXiv:2108.07969",
    )

    def make_lesson(self) -> Lesson:
        """The teacher's clean predictions, which the attack drives the student away from."""
        c = cast(RSLADConfig, self.config)
        return RSLADLesson(self.attack("teacher"), c.adversarial_weight, c.reduction)
