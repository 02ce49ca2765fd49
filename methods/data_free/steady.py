"""Steady: Fast's images; the student agrees with the teacher on them, and around them with itself where the teacher does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dfrd_bench.distillation.recipes import Conversion
from dfrd_bench.method import Reference, param

from .fast import Fast, FastConfig

OURS = "ours, docs/steady.md"


class SteadyConfig(FastConfig):
    """Fast's hyper-parameters, with another lesson for the student and another rate."""

    conversion: Conversion = param("soft-trades", "KL(f^T(x), f^S(x)) + β·KL(f^S(x), f^S(x_adv)); or another", OURS)
    robust_weight: float = param(2.0, "β, weight of the student's divergence from its own answer", OURS, ge=0)
    defer: bool = param(
        True, "where the teacher takes x_adv for another class, its answer there in place of the student's own", OURS
    )
    lr: float = param(0.6, "student: SGD learning rate, cosine decay to 0", OURS, gt=0)
    attack_steps: int = param(
        9, "student's adversary: steps, one less than the others' (paid to the teacher)", OURS, ge=1
    )

    @classmethod
    def at_budget(cls, budget: Mapping[str, Any]) -> dict[str, Any]:
        """The dataset's budget, less a step of the attack: a pass through the teacher is made in its place."""
        values = super().at_budget(budget)
        return values | ({"attack_steps": max(values["attack_steps"] - 1, 1)} if "attack_steps" in values else {})


class Steady(Fast):
    """Steady: agree with the teacher on the image and with yourself around it, but where the teacher changes its mind (ours)."""

    Config = SteadyConfig
    reference = Reference("none: made with this benchmark", "ours", "docs/steady.md")
