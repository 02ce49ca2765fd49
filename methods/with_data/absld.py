"""ABSLD: RSLAD whose soft labels are sharper for hard classes and smoother for easy ones."""

from __future__ import annotations

from typing import cast

from dfrd_bench.distillation.class_temperatures import ABSLDLesson, ClassTemperatures, Kinds, Risk
from dfrd_bench.distillation.lessons import Lesson
from dfrd_bench.method import Reference, param

from .rslad import RSLAD, RSLADConfig

PAPER = "Zhao et al. 2024"
RELEASED = "Zhao et al. 2024, released code"


class ABSLDConfig(RSLADConfig):
    """ABSLD's hyper-parameters: RSLAD's, and those of the temperatures."""

    temperature_rate: float = param(
        0.1, "ρ, how far a temperature moves per epoch at most; falls with lr", RELEASED, ge=0
    )
    temperatures: Kinds = param("own", "each kind of image has its own τ, or both have the product (released)", PAPER)
    risk: Risk = param(
        "mean", "a class's mean cross-entropy, or its sum (released): one where classes are of one size", PAPER
    )


class ABSLD(RSLAD):
    """ABSLD: anti-bias soft label distillation, class-wise temperatures of the teacher."""

    Config = ABSLDConfig
    reference = Reference(
        "Improving Adversarial Robust Fairness via Anti-Bias Soft Label Distillation",
        "NeurIPS 2024",
        "https://github.com/zhaoshiji123/ABSLD",
    )

    def make_lesson(self) -> Lesson:
        """The teacher's clean predictions at the class's temperature, which the attack drives the student away from."""
        c = cast(ABSLDConfig, self.config)
        self.temperatures = ClassTemperatures(
            self.problem.num_classes, self.problem.device, kinds=c.temperatures, risk=c.risk
        )
        return ABSLDLesson(self.attack("teacher"), self.temperatures, c.adversarial_weight, c.reduction)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """As any; afterwards the temperatures move, at the rate of the epoch that begins (released code, lines 178-189)."""
        numbers = super().train_epoch(epoch)
        rate = cast(ABSLDConfig, self.config).temperature_rate * self.decayed(epoch + 1)
        return {**numbers, **self.temperatures.end_epoch(rate)}
