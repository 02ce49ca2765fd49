"""FastDFKD: a meta-generator kept across rounds, from which a few steps reach each new batch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from dfrd_bench.distillation.generators import ConvGenerator
from dfrd_bench.distillation.inversion import Inversion
from dfrd_bench.distillation.meta import InnerLoop, MetaRule
from dfrd_bench.distillation.synthesis import Canvas, SynthesisConfig, SynthesizeThenDistill
from dfrd_bench.method import MethodConfig, Reference, param
from dfrd_bench.problem import DatasetInfo, Problem, ThreatModel

PAPER = "Fang et al. 2022"
RELEASED = "Fang et al. 2022, released code"
RESET_STD = 0.02


class FastConfig(SynthesisConfig):
    """FastDFKD's hyper-parameters, those of its 5-step version; the student's schedule is the shared recipe's."""

    synthesis_steps: int = param(5, "steps of the inner loop (2 and 10 are reported too)", PAPER, ge=1)
    generator_lr: float = param(3e-3, "inner loop: Adam learning rate (2 steps: 5e-3, 10: 2e-3)", RELEASED, gt=0)
    latent_lr: float = param(0.01, "latent codes: Adam learning rate (2 steps: 0.015)", RELEASED, ge=0)
    latent_dim: int = param(256, "length of a latent code", RELEASED, ge=1)
    reinitialise: bool = param(False, "the meta-generator is kept, that is the method", PAPER)
    meta_rule: MetaRule = param("fomaml", "how the meta-generator learns from the inner loop", PAPER)
    meta_lr: float | None = param(
        None, "meta-generator: Adam learning rate; generator_lr × synthesis_steps when null", RELEASED, gt=0
    )
    reset_after: int = param(
        120, "reset its first linear layer and BatchNorm so many epochs after warm-up; 0 never", RELEASED, ge=0
    )
    lambda_bn: float = param(10.0, "weight of the BatchNorm distance", RELEASED, ge=0)
    lambda_oh: float = param(0.4, "weight of the one-hot cross-entropy", RELEASED, ge=0)
    lambda_adv: float = param(
        1.1, "weight of the disagreement where student and teacher agree, after warm-up", RELEASED, ge=0
    )
    bn_momentum: float = param(0.9, "weight of earlier rounds in the BatchNorm distance", RELEASED, ge=0, lt=1)
    temperature: float = param(20.0, "temperature of the un-converted distillation", RELEASED, gt=0)

    def stands_for(self, info: DatasetInfo, threat: ThreatModel) -> dict[str, Any]:
        """Of the meta-generator's rate too."""
        own = {"meta_lr": self.generator_lr * self.synthesis_steps} if self.meta_lr is None else {}
        return super().stands_for(info, threat) | own

    @classmethod
    def at_budget(cls, budget: Mapping[str, Any]) -> dict[str, Any]:
        """The dataset's budget; the reset moves with the number of epochs."""
        values = super().at_budget(budget)
        if {"epochs", "warmup_epochs"} <= budget.keys():
            own = {name: cls.model_fields[name].default for name in ("epochs", "warmup_epochs", "reset_after")}
            share = (budget["epochs"] - budget["warmup_epochs"]) / (own["epochs"] - own["warmup_epochs"])
            values["reset_after"] = math.ceil(own["reset_after"] * share)
        return values


class Fast(SynthesizeThenDistill):
    """Fast: up to 100x faster data-free knowledge distillation, by meta-learned synthesis."""

    Config = FastConfig
    reference = Reference("Up to 100x Faster Data-free Knowledge Distillation", "AAAI 2022", "arXiv:2112.06253")

    def __init__(self, problem: Problem, config: MethodConfig) -> None:
        super().__init__(problem, config)
        self.fast = c = cast(FastConfig, config)
        self.inversion = Inversion(problem, c, owner="fast", momentum=c.bn_momentum)
        self.statistics = self.inversion.statistics  # its memory of earlier rounds is part of the state
        self.meta_optimiser = torch.optim.Adam(
            self.generator.parameters(), lr=c.meta_lr or c.generator_lr * c.synthesis_steps, betas=(0.5, 0.999)
        )
        self.round = InnerLoop(self.generator, c.meta_rule)
        self.adversarial = False

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """The student's disagreement counts once there is a student; late in training the first layers start anew."""
        c = self.fast
        self.adversarial = epoch >= c.warmup_epochs
        if c.reset_after and epoch == c.warmup_epochs + c.reset_after:
            self.reset_first_layers()
        return super().train_epoch(epoch)

    @torch.no_grad()
    def reset_first_layers(self) -> None:
        """Weights from N(0, 0.02), the BatchNorm's too, and biases 0 (`fast_meta.py:30-34`)."""
        generator = cast(ConvGenerator, self.generator)
        for layer in (generator.linear, generator.bn0):
            drawn = torch.randn(layer.weight.shape, generator=self.rng, device=self.problem.device)
            layer.weight.copy_(RESET_STD * drawn)
            layer.bias.zero_()

    def canvas(self, labels: Tensor) -> Canvas:
        """The inner loop trains a copy of the meta-generator, and new latent codes."""
        self.round = InnerLoop(self.generator, self.fast.meta_rule)
        return self.generator_canvas(self.round.adapted, labels)

    def generator_loss(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """λ_bn·L_bn + λ_oh·L_oh − λ_adv·KL(f^T, f^S) where they agree."""
        return self.inversion(x, labels, adversarial=self.adversarial)

    def on_gradients(self) -> None:
        """Inner gradients count for the meta-generator too (FOMAML)."""
        self.round.gather()

    def after_synthesis(self, x: Tensor, labels: Tensor) -> dict[str, float]:
        """The outer loop: the meta-generator takes its step, and L_bn remembers the round."""
        self.round.finish()
        self.meta_optimiser.step()
        if self.statistics is not None:
            self.statistics.remember()
        return {}
