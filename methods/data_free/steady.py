"""Steady: Fast's images, and a student that agrees with the teacher on them and with itself around them."""

from __future__ import annotations

from dfrd_bench.distillation.recipes import Conversion
from dfrd_bench.method import Reference, param

from .fast import Fast, FastConfig

OURS = "ours, docs/steady.md"


class SteadyConfig(FastConfig):
    """Fast's hyper-parameters, with another lesson for the student and another rate."""

    conversion: Conversion = param("soft-trades", "KL(f^T(x), f^S(x)) + β·KL(f^S(x), f^S(x_adv)); or another", OURS)
    robust_weight: float = param(2.0, "β, weight of the student's divergence from its own answer", OURS, ge=0)
    lr: float = param(0.6, "student: SGD learning rate, cosine decay to 0", OURS, gt=0)


class Steady(Fast):
    """Steady: agree with the teacher on the image, and with yourself around it (ours)."""

    Config = SteadyConfig
    reference = Reference("none: made with this benchmark", "ours", "docs/steady.md")
