"""TRADES: the labels of clean images, and the same prediction for adversarial ones."""

from __future__ import annotations

from typing import cast

from dfrd_bench.distillation.label_lessons import TradesLesson
from dfrd_bench.distillation.learner import AttackedConfig, LabelledConfig, Learner, Shares
from dfrd_bench.distillation.lessons import Lesson
from dfrd_bench.method import Reference, param

PAPER = "Zhang et al. 2019, section 5"


class TRADESConfig(AttackedConfig, LabelledConfig):
    """TRADES's hyper-parameters."""

    epochs: int = param(100, "passes over the training images", PAPER, ge=1)
    decay_at: Shares = param((0.75, 0.9), "after which shares of the epochs lr falls", "TRADES's released code")
    robust_weight: float = param(6.0, "1/λ, weight of the KL between clean and adversarial predictions", PAPER, ge=0)
    one_batch: bool = param(
        False, "clean and adversarial images pass as one batch, with joint BatchNorm statistics, or as two", "option"
    )


class TRADES(Learner):
    """TRADES: accuracy traded for robustness by a KL between clean and adversarial predictions, no teacher."""

    Config = TRADESConfig
    has_teacher = False
    reference = Reference(
        "Theoretically Principled Trade-off between Robustness and Accuracy", "ICML 2019", "arXiv:1901.08573"
    )

    def make_lesson(self) -> Lesson:
        """The attack drives the student away from its own clean prediction."""
        c = cast(TRADESConfig, self.config)
        return TradesLesson(self.attack("clean"), c.robust_weight, c.label_smoothing, c.one_batch)
