"""Steady: Fast's images; teacher and student are brought together where, within ε of them, the two are furthest apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dfrd_bench.distillation.recipes import Conversion
from dfrd_bench.method import Reference, param

from .fast import Fast, FastConfig

OURS = "ours, docs/steady.md"


class SteadyConfig(FastConfig):
    """Fast's hyper-parameters, with another lesson for the student, half as many steps of its attack and another rate."""

    conversion: Conversion = param(
        "adaad", "KL(f^T(x_adv), f^S(x_adv)), x_adv where that is largest (AdaAD's lesson); or another", OURS
    )
    attack_steps: int = param(
        5, "student's adversary: steps, half the others', as each goes through the teacher too", OURS, ge=1
    )
    lr: float = param(0.6, "student: SGD learning rate, cosine decay to 0", OURS, gt=0)

    @classmethod
    def at_budget(cls, budget: Mapping[str, Any]) -> dict[str, Any]:
        """The dataset's budget, with half the attack steps, rounded up: each is a pass through two networks."""
        values = super().at_budget(budget)
        return values | ({"attack_steps": -(-values["attack_steps"] // 2)} if "attack_steps" in values else {})


class Steady(Fast):
    """Steady: agree with the teacher where, around images it may be unsure of, the two of you are furthest apart (ours)."""

    Config = SteadyConfig
    reference = Reference("none: made with this benchmark", "ours", "docs/steady.md")
