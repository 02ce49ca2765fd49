"""Noise: uniform noise for images, the floor under every way of making them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from dfrd_bench.distillation.distiller import Distiller, DistillerConfig
from dfrd_bench.distillation.tally import Averages
from dfrd_bench.method import Reference, param


class NoiseConfig(DistillerConfig):
    """The shared recipe for the student, and nothing else."""

    warmup_epochs: int = param(0, "no warm-up: nothing is stored", "ours", ge=0, le=0)
    crop_padding: int | None = param(None, "not used: noise cropped is noise", "ours", ge=0)
    flip: bool | None = param(None, "not used: noise mirrored is noise", "ours")

    @classmethod
    def at_budget(cls, budget: Mapping[str, Any]) -> dict[str, Any]:
        """The epochs of the dataset's budget in which students learn: as many steps as after another method's warm-up."""
        values = {**super().at_budget(budget), "warmup_epochs": 0}
        if "epochs" in budget:
            values["epochs"] = max(budget["epochs"] - budget.get("warmup_epochs", 0), 1)
        return values


class Noise(Distiller):
    """Noise: every pixel uniform in [0, 1], no image shown twice, and what the teacher makes of them."""

    Config = NoiseConfig
    reference = Reference(
        "none: what the other methods' images have to be better than", "ours", "docs/reproducibility.md"
    )

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """The student's steps, each on images of its own."""
        c = cast(NoiseConfig, self.config)
        rate, averages = self.begin_epoch(epoch), Averages()
        self.progress("distill", 0, c.distillation_steps)
        for step in range(c.distillation_steps):
            averages.add({"loss": self.distill(self.images(c.batch_size, self.rng))})
            self.progress("distill", step + 1, c.distillation_steps)
        return {**averages.means(), "lr": rate, **self.end_epoch()}

    def images(self, n: int, generator: torch.Generator) -> Tensor:
        """n images [n, C, H, W]."""
        return torch.rand((n, *self.problem.shape), generator=generator, device=self.problem.device)

    def sample(self, n: int) -> Tensor:
        """n such images, from a source of their own."""
        return self.images(n, torch.Generator(self.problem.device).manual_seed(self.problem.seed))
