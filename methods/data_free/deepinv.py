"""DeepInversion: the pixels themselves are optimised until the teacher's BatchNorm layers and its prediction agree with them."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch import Tensor

from dfrd_bench.distillation.inversion import Inversion
from dfrd_bench.distillation.losses import js, total_variation
from dfrd_bench.distillation.synthesis import Canvas, PoolConfig, PoolDistiller
from dfrd_bench.distillation.views import jitter
from dfrd_bench.method import MethodConfig, Reference, param
from dfrd_bench.problem import Problem

PAPER = "Yin et al. 2020"
RELEASED = "Yin et al. 2020, released CIFAR-10 code"
FANG = "Fang et al. 2022, released code (its DeepInversion baseline)"


class DeepInvConfig(PoolConfig):
    """DeepInversion's hyper-parameters, as the FERD paper's baseline has them; the student's schedule is the shared recipe's."""

    synthesis_steps: int = param(1000, "Adam steps on a batch (the original: 2000)", FANG, ge=1)
    pixel_lr: float = param(0.1, "Adam learning rate, in standard deviations of a pixel", f"{FANG}; Yin: 0.05", gt=0)
    beta1: float = param(0.5, "Adam's β1 (the original: 0.9)", FANG, ge=0, lt=1)
    beta2: float = param(0.99, "Adam's β2 (the original: 0.999)", FANG, ge=0, lt=1)
    pixel_mean: float = param(0.5, "centre of a pixel's scale", "CIFAR-10's normalisation, rounded", ge=0, le=1)
    pixel_std: float = param(0.25, "unit of a pixel's scale", "CIFAR-10's normalisation, rounded", gt=0)
    lambda_bn: float = param(
        10.0, "weight of the BatchNorm distance", f"{FANG}; Yin: 10 (its script's default: 100)", ge=0
    )
    lambda_oh: float = param(1.0, "weight of the one-hot cross-entropy", PAPER, ge=0)
    lambda_adv: float = param(1.0, "weight of the student-teacher disagreement (adaptive inversion)", FANG, ge=0)
    lambda_tv: float = param(2.5e-5, "weight of the total variation of images in [0, 1]", RELEASED, ge=0)
    lambda_l2: float = param(0.0, "weight of the norm of the images", RELEASED, ge=0)
    js_temperature: float = param(3.0, "temperature of the disagreement", RELEASED, gt=0)
    jitter: float = param(1 / 8, "largest shift per step, as a share of the image's side", FANG, ge=0, lt=1)
    temperature: float = param(20.0, "temperature of the un-converted distillation", FANG, gt=0)


class DeepInv(PoolDistiller):
    """DeepInv: dreaming to distill, DeepInversion with the adaptive (student-aware) term."""

    Config = DeepInvConfig
    reference = Reference(
        "Dreaming to Distill: Data-free Knowledge Transfer via DeepInversion", "CVPR 2020", "arXiv:1912.08795"
    )

    def __init__(self, problem: Problem, config: MethodConfig) -> None:
        super().__init__(problem, config)
        self.deepinv = c = cast(DeepInvConfig, config)
        self.inversion = Inversion(problem, c, owner="deepinv", disagreement=partial(js, temperature=c.js_temperature))

    def canvas(self, labels: Tensor) -> Canvas:
        """Pixels u ~ N(0, 1); the image is mean + std·u, and u is brought back to where the image is in [0, 1]."""
        c = self.deepinv
        u = torch.randn((len(labels), *self.problem.shape), generator=self.rng, device=self.problem.device)
        u = self.problem.precision.images(u).requires_grad_()

        def render() -> Tensor:
            with torch.no_grad():
                u.clamp_(-c.pixel_mean / c.pixel_std, (1 - c.pixel_mean) / c.pixel_std)
            return c.pixel_mean + c.pixel_std * u

        return render, [{"params": [u], "lr": c.pixel_lr, "betas": (c.beta1, c.beta2)}]

    def synthesis_view(self, images: Tensor) -> Tensor:
        """Jitter and flip, the whole batch alike."""
        return jitter(images, limit=self.deepinv.jitter, flip=self.flips, generator=self.rng)

    def generator_loss(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """λ_bn·R_feature + λ_oh·CE − λ_adv·JS + λ_tv·R_TV + λ_l2·R_l2 (R_compete = 1 − JS, less the constant)."""
        c = self.deepinv
        terms = self.inversion(x, labels)
        if c.lambda_tv:
            terms["tv"] = c.lambda_tv * total_variation(x)
        if c.lambda_l2:
            terms["l2"] = c.lambda_l2 * torch.linalg.vector_norm(x)
        return terms
