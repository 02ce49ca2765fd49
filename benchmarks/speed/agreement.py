"""Whether ours and the plain recipe compute the same: their losses, step by step, from the same weights and draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from dfrd_bench.benchmarks.speed.cases import Case
from dfrd_bench.benchmarks.speed.trainers import ours, plain

TOLERANCE = 1e-4
Losses = list[tuple[str, dict[str, float]]]
"""Of each step: its stage, and the terms of its loss."""


@dataclass(frozen=True)
class Agreement:
    """How far the losses of a method are apart.

    Attributes:
        method: its name.
        steps: how many losses were compared.
        difference: the largest difference of a term, relative to the sum of the step's terms without their signs.
        where: stage, step and term of the largest.
    """

    method: str
    steps: int
    difference: float
    where: str

    @property
    def holds(self) -> bool:
        """Whether the difference is within `TOLERANCE`."""
        return self.difference <= TOLERANCE


def agreement(case: Case, method: str, *, steps: int = 3, epochs: int = 2, **changes: Any) -> Agreement:
    """Train both for a few epochs of a few steps, and compare.

    Args:
        case: in float32, or the difference means little.
        method: which.
        steps: of synthesis, and of the student, per epoch.
        epochs: how many.
        changes: hyper-parameters beside.
    """
    short = {
        "epochs": epochs,
        "warmup_epochs": 0,
        "synthesis_rounds": 1,
        "synthesis_steps": steps,
        "distillation_steps": steps,
        "generator_steps": 1,
        "student_steps": 1,
        **changes,
    }
    with case.precision.backends():
        mine, theirs = ours(case, method, **short), plain(case, method, **short)
        return compared(method, recorded(mine, epochs), recorded(theirs, epochs))


def recorded(trainer: Any, epochs: int) -> Losses:
    """Train, and note the terms of every step's loss."""
    losses: Losses = []

    def noting(stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any) -> Any:
            value = function(*args)
            terms = value if isinstance(value, dict) else {"loss": value}
            losses.append((stage, {name: number(term) for name, term in terms.items()}))
            return value

        return noted

    for name, stage in (("generator_loss", "synthesis"), ("terms", "synthesis"), ("distill", "student")):
        if hasattr(trainer, name):
            setattr(trainer, name, noting(stage, getattr(trainer, name)))
    for epoch in range(epochs):
        numbers = trainer.train_epoch(epoch)
        if "loss_adv" in numbers and not any(stage == "synthesis" for stage, _ in losses):  # ZSKT's generator
            losses.append(("generator", {"adv": numbers["loss_adv"]}))
    return losses


def number(value: float | Tensor) -> float:
    """A scalar tensor, or a float."""
    return float(value.detach()) if isinstance(value, Tensor) else float(value)


def compared(method: str, mine: Losses, theirs: Losses) -> Agreement:
    """The largest difference; infinite where steps or terms are not the same."""
    if [(stage, terms.keys()) for stage, terms in mine] != [(stage, terms.keys()) for stage, terms in theirs]:
        return Agreement(method, len(mine), float("inf"), "the steps themselves")
    worst, where = 0.0, ""
    for step, ((stage, one), (_, other)) in enumerate(zip(mine, theirs, strict=True)):
        size = max(sum(map(abs, one.values())), sum(map(abs, other.values())), 1e-12)
        for name in one:
            difference = abs(one[name] - other[name]) / size
            if not difference <= worst:  # a NaN is the worst
                worst, where = (difference if difference == difference else float("inf")), f"{stage}, step {step}, {name}"
    return Agreement(method, len(mine), worst, where)
