"""Perturbed examples to distill on: what to ascend, from where, by how much."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from dfrd_bench.attacks.projected_gradient import ascend
from dfrd_bench.attacks.surrogate import StandIns
from dfrd_bench.distillation.endurance import Endurance
from dfrd_bench.distillation.losses import entropy_per_image, kl_from_uniform_per_image, kl_per_image
from dfrd_bench.distillation.modes import frozen
from dfrd_bench.problem import Problem

Start = Literal["noise", "uniform"]
START_NOISE = 0.001  # FERD A.8 and eq. 10, DFHL's released code: start at x + 0.001·N(0, I)


def started(x: Tensor, start: Start, eps: float | Tensor, generator: torch.Generator) -> Tensor:
    """Where an attack on x [N, C, H, W] begins: at x + 0.001·N(0, I), or uniformly within eps of it (one, or [N, 1, 1, 1])."""
    if start == "noise":
        return x + START_NOISE * torch.randn(x.shape, generator=generator, device=x.device)
    return x + eps * (2 * torch.rand(x.shape, generator=generator, device=x.device) - 1)


@dataclass(frozen=True, kw_only=True)
class DivergenceAdversary:
    """Images near x on which a model disagrees most with the teacher's view of x.

    Ascends KL(f^T(x), f(x')) − γ·KL(U, f(x')) over x' in the ε ball. With γ = 0 it is the adversary of the DFKD→DFRD
    conversion (FERD A.8); with γ > 0 it makes uniform-target adversarial examples, UTAEs (FERD eq. 10).

    Attributes:
        problem: threat model and precision.
        steps: number of steps.
        step: length of a step; the threat model's when None.
        gamma: γ, the weight of the uniform-target term.
        start: at x + 0.001·N(0, I), or uniformly in the ball (as Madry et al. 2018 attack).
        stand_ins: what is asked instead of the model.
    """

    problem: Problem
    steps: int = 10
    step: float | None = None
    gamma: float = 0.0
    start: Start = "noise"
    stand_ins: StandIns = field(default_factory=StandIns, repr=False, compare=False)

    def __call__(
        self,
        model: nn.Module,
        x: Tensor,
        teacher_logits: Tensor,
        generator: torch.Generator,
        endurance: Endurance | None = None,
    ) -> Tensor:
        """Adversarial images [N, C, H, W] for x.

        Args:
            model: f, the network attacked; in eval mode meanwhile.
            x: images [N, C, H, W].
            teacher_logits: f^T(x), [N, K].
            generator: draws the start.
            endurance: counts the steps that each image withstands.
        """
        threat = self.problem.threat
        start = started(x, self.start, threat.eps, generator)
        with frozen(model):
            network = self.stand_ins.of(model, x)

            def objective(images: Tensor) -> Tensor:
                logits = self.problem.precision.logits(network, images)
                if endurance is not None:
                    endurance.see(logits)
                value = kl_per_image(teacher_logits, logits)
                return value - self.gamma * kl_from_uniform_per_image(logits) if self.gamma else value

            return ascend(
                objective,
                x,
                eps=threat.eps,
                step=self.step if self.step is not None else threat.step,
                steps=self.steps,
                start=start,
            )


@dataclass(frozen=True, kw_only=True)
class EntropyAscent:
    """Images a model is least sure about, anywhere in [0, 1]: high-entropy examples, HEEs (Yuan et al. 2024).

    Attributes:
        problem: precision; the threat model's ball is not used.
        steps: number of steps.
        step: length of a step.
        stand_ins: what is asked instead of the model.
    """

    problem: Problem
    steps: int = 10
    step: float = 0.03
    stand_ins: StandIns = field(default_factory=StandIns, repr=False, compare=False)

    def __call__(self, model: nn.Module, x: Tensor, generator: torch.Generator) -> Tensor:
        """High-entropy examples [N, C, H, W] near x.

        Args:
            model: the network to be unsure; in eval mode meanwhile.
            x: images [N, C, H, W].
            generator: draws the start.
        """
        start = started(x, "noise", math.inf, generator)
        with frozen(model):
            network = self.stand_ins.of(model, x)
            return ascend(
                lambda images: entropy_per_image(self.problem.precision.logits(network, images)),
                x,
                eps=math.inf,
                step=self.step,
                steps=self.steps,
                start=start,
            )
