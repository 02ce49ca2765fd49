"""IGDM: AdaAD, and the student's logits change along the attack as the teacher's do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from dfrd_bench.distillation.adaptive_lessons import IGDMLesson
from dfrd_bench.distillation.distiller import MANY_CLASSES
from dfrd_bench.distillation.lessons import Lesson
from dfrd_bench.method import Reference, param

from .adaad import AdaAD, AdaADConfig

RELEASED = "Lee et al. 2026 (SAAD), released code, igdm.py"


class IGDMConfig(AdaADConfig):
    """IGDM's hyper-parameters."""

    alpha: float = param(
        1.0,
        "weight of the matched gradients in the last epoch, reached in a straight line (100 classes: 10)",
        RELEASED,
        ge=0,
    )

    @classmethod
    def for_classes(cls, num_classes: int) -> dict[str, Any]:
        """Ten times CIFAR-10's weight for CIFAR-100 and Tiny-ImageNet; the released code has 1 as its only default."""
        return {"alpha": 10.0} if num_classes >= MANY_CLASSES else {}


class IGDM(AdaAD):
    """IGDM: indirect gradient distillation, on AdaAD."""

    Config = IGDMConfig
    reference = Reference(
        "Indirect Gradient Matching for Adversarial Robust Distillation", "ICLR 2025", "arXiv:2312.03286"
    )

    def make_lesson(self) -> IGDMLesson:
        """The teacher on both sides of the clean image; the attack drives the student away from it."""
        return IGDMLesson(self.attack("gap"), cast(IGDMConfig, self.config).alpha)

    def lesson_at(self, epoch: int) -> Lesson:
        """The weight of the matched gradients grows to α over the epochs."""
        lesson, share = cast(IGDMLesson, self.lesson), (epoch + 1) / self.recipe.epochs
        return replace(lesson, weight=lesson.weight * share)
