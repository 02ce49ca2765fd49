"""Steady-even: Steady, then the logits of classes that give way are raised, by what its own synthetic images say."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from dfrd_bench.distillation.evening import output_bias, robust_shares
from dfrd_bench.distillation.inner_attack import InnerAttack
from dfrd_bench.distillation.lessons import Batch
from dfrd_bench.method import MethodConfig, Reference, param
from dfrd_bench.problem import Problem

from .steady import OURS, Steady, SteadyConfig


class SteadyEvenConfig(SteadyConfig):
    """Steady's hyper-parameters, and how far classes are evened out."""

    evening: float = param(
        0.5, "logits added to a class per unit by which its robust share is below the classes' mean", OURS, ge=0
    )
    evening_batches: int = param(10, "the newest batches of the pool, which are attacked for these shares", OURS, ge=1)
    evening_steps: int = param(10, "steps of that attack, of the threat model's length", OURS, ge=1)

    def idle(self) -> dict[str, str]:
        """Steady's, and of what no logits are added by."""
        unused = ("evening_batches", "evening_steps")
        return super().idle() | (dict.fromkeys(unused, "evening=0") if self.evening == 0 else {})


class SteadyEven(Steady):
    """Steady-even: Steady, its classes evened out by how their synthetic images withstand an attack (ours)."""

    Config = SteadyEvenConfig
    reference = Reference("none: made with this benchmark", "ours", "docs/steady.md")

    def __init__(self, problem: Problem, config: MethodConfig) -> None:
        super().__init__(problem, config)
        self.even = cast(SteadyEvenConfig, config)
        output_bias(self.student, problem.num_classes)  # a student without says so before it is trained

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Steady's; after the last one the classes are evened out."""
        numbers = super().train_epoch(epoch)
        last = epoch == self.even.epochs - 1
        return numbers | self.even_out() if last and self.even.evening else numbers

    def even_out(self) -> dict[str, float]:
        """b_k ← b_k + τ·(mean of r − r_k), r_k the share of class k's images that withstand PGD; returns the shifts.

        The images are the newest, made against a student nearly done, each of the class that the teacher takes it for.
        """
        newest = self.pool.latest(self.even.evening_batches * self.even.batch_size)
        attack = InnerAttack(problem=self.problem, away="label", steps=self.even.evening_steps)
        batches = map(self.labelled, torch.split(newest, self.even.batch_size))
        shares = robust_shares(self.student, batches, attack, self.rng)
        shifts = self.even.evening * (shares.mean() - shares)
        with torch.no_grad():
            output_bias(self.student, self.problem.num_classes).add_(shifts)
        return {f"shift/{k}": shift for k, shift in enumerate(shifts.tolist())}

    def labelled(self, images: Tensor) -> Batch:
        """Images [N, C, H, W] as a batch of the teacher's classes."""
        x = self.problem.precision.images(images)
        with torch.no_grad():
            told = self.problem.precision.logits(self.problem.teacher, x)
        return Batch(x, told.argmax(dim=1), told)
