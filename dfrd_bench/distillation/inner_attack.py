"""The inner maximisation of methods with labels: projected gradient ascent that counts how long each image holds out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from dfrd_bench.attacks.projected_gradient import ascend, cross_entropy
from dfrd_bench.attacks.surrogate import StandIns
from dfrd_bench.distillation.adversaries import Start, started
from dfrd_bench.distillation.endurance import Count, Endurance
from dfrd_bench.distillation.lessons import Attacked, Batch
from dfrd_bench.distillation.losses import kl_per_image
from dfrd_bench.distillation.margins import ClassMargins
from dfrd_bench.distillation.modes import frozen, without_gradients
from dfrd_bench.problem import Problem

Away = Literal["label", "teacher", "clean", "gap"]
Mode = Literal["eval", "train"]
Watch = Callable[[Tensor, Tensor], None]
"""Told of every iterate before its step: images [N, C, H, W], and which are classified correctly, [N] bool."""


class AttackRecipe(Protocol):
    """Hyper-parameters that say how the student is attacked."""

    @property
    def attack_steps(self) -> int: ...
    @property
    def attack_step(self) -> float | None: ...
    @property
    def attack_start(self) -> Start: ...
    @property
    def attack_mode(self) -> Mode: ...
    @property
    def count(self) -> Count: ...


@dataclass(frozen=True, kw_only=True)
class InnerAttack:
    """Images in the ε ball around x on which the student is furthest from its label, its teacher or itself.

    Ascends CE(f^S(x'), y), KL(f^T(x), f^S(x')), KL(f^S(x), f^S(x')), or the gap KL(f^T(x'), f^S(x')) to a teacher who is
    attacked as well.

    Attributes:
        problem: threat model and precision.
        away: from what the student is driven.
        steps: number of steps.
        step: length of a step; the threat model's when None.
        start: at x + 0.001·N(0, I), or uniformly in the ball.
        mode: in which the student is attacked; in "train" with batch statistics, and every step moves its running ones.
        count: which steps an image withstands, see `Endurance`.
        margins: ε and step per class; the threat model's for all when None.
        stand_ins: what is asked instead of the student in eval mode.
    """

    problem: Problem
    away: Away
    steps: int = 10
    step: float | None = None
    start: Start = "noise"
    mode: Mode = "eval"
    count: Count = "first"
    margins: ClassMargins | None = None
    stand_ins: StandIns = field(default_factory=StandIns, repr=False, compare=False)

    def __call__(
        self, student: nn.Module, batch: Batch, generator: torch.Generator, watch: Watch | None = None
    ) -> Attacked:
        """Adversarial images for a batch, and how many steps each of its images withstood."""
        x, precision = batch.x, self.problem.precision
        eps, step = self._lengths(batch.labels)
        endurance = Endurance(batch.labels, self.count)
        with frozen(student) if self.mode == "eval" else without_gradients(student):
            network = self.stand_ins.of(student, x) if self.mode == "eval" else student
            distance = self._distance(network, batch)

            def objective(images: Tensor) -> Tensor:
                """One value per image; and see which are still classified correctly."""
                logits = precision.logits(network, images)
                right = endurance.see(logits)
                if watch is not None:
                    watch(images.detach(), right)
                return distance(images, logits)

            x_adv = ascend(
                objective,
                x,
                eps=eps,
                step=step,
                steps=self.steps,
                start=started(x, self.start, eps, generator),
            )
        return Attacked(x_adv, endurance.steps)

    @classmethod
    def of(cls, recipe: AttackRecipe, problem: Problem, away: Away) -> InnerAttack:
        """The attack that hyper-parameters describe."""
        return cls(
            problem=problem,
            away=away,
            steps=recipe.attack_steps,
            step=recipe.attack_step,
            start=recipe.attack_start,
            mode=recipe.attack_mode,
            count=recipe.count,
        )

    def _lengths(self, labels: Tensor) -> tuple[float | Tensor, float | Tensor]:
        """ε and step: of all images, or per class [N, 1, 1, 1]."""
        eps, step = self.problem.threat.eps, self.step if self.step is not None else self.problem.threat.step
        return (eps, step) if self.margins is None else self.margins.of(labels, eps, step)

    def _distance(self, network: nn.Module, batch: Batch) -> Callable[[Tensor, Tensor], Tensor]:
        """From x' and the student's logits on it to one value per image."""
        problem = self.problem
        if self.away == "label":
            return lambda _, logits: cross_entropy(logits, batch.labels)
        if self.away == "teacher":
            return lambda _, logits: kl_per_image(batch.taught, logits)
        if self.away == "gap":
            return lambda images, logits: kl_per_image(problem.precision.logits(problem.teacher, images), logits)
        with torch.no_grad():
            clean = problem.precision.logits(network, batch.x)
        return lambda _, logits: kl_per_image(clean, logits)
