"""Which channels of a feature map are not robust: the information bottleneck of FERD (eq. 3–6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from dfrd_bench.distillation.moments import mean_and_variance
from dfrd_bench.distillation.pooled_head import PooledHead, ShiftedMeans

GUARD = 1e-10
Penalty = Literal["sum", "half-mean"]
Ceiling = Literal["image", "batch"]
Noise = Literal["channel", "position"]
Variance = Literal["biased", "unbiased"]


def compression(variance: Tensor, scale: Tensor, penalty: Penalty = "sum") -> Tensor:
    """Σ_c (v_c/λ_c² + log(λ_c²/v_c) − 1) per image (FERD eq. 5): [N, C], [N, C] -> [N]; 0 where λ_c² = v_c.

    `half-mean` is the released code's: half of it, averaged over the channels.
    """
    ratio = (variance + GUARD) / (scale.square() + GUARD)
    per_channel = ratio - ratio.log() - 1
    return per_channel.sum(dim=1) if penalty == "sum" else per_channel.mean(dim=1) / 2


def compression_slope(variance: Tensor, scale: Tensor, penalty: Penalty = "sum") -> Tensor:
    """∂/∂λ of the summed `compression`: 2λ/λ²·(1 − v/λ²) per channel, [N, C], [N, C] -> [N, C]."""
    square = scale.square() + GUARD
    slope = 2 * scale / square * (1 - (variance + GUARD) / square)
    return slope if penalty == "sum" else slope / (2 * scale.shape[1])


Slope = Callable[[Tensor, Tensor], Tensor]
"""Noise scale λ [N, C] and noise ε -> ∂/∂λ of the summed cross-entropy of the head's prediction, [N, C]."""


def by_autograd(head: Callable[[Tensor], Tensor], z: Tensor, labels: Tensor) -> Slope:
    """The slope for any head; ε is [N, C, 1, 1] or [N, C, H, W]."""

    def slope(scale: Tensor, noise: Tensor) -> Tensor:
        with torch.enable_grad():
            variable = scale.requires_grad_()
            logits = head(z + variable[:, :, None, None] * noise)
            prediction = F.cross_entropy(logits.float(), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(prediction, variable)
        return gradient

    return slope


def in_closed_form(head: PooledHead, z: Tensor, labels: Tensor) -> Slope:
    """The slope behind a mean over positions; ε is [N, C, 1, 1].

    There noise that all positions of a channel share moves the mean by a shift t = a·λ·ε, and with logits W·m(t) + c and
    probabilities q the slope is (q − 1_y)W · m'(t) · a·ε.
    """
    means = ShiftedMeans(head, z)
    wanted = F.one_hot(labels, len(head.bias)).to(z.dtype)

    def slope(scale: Tensor, noise: Tensor) -> Tensor:
        step = head.scale * noise[:, :, 0, 0]
        pooled, rise = means.at(step * scale)
        wrong = torch.addmm(head.bias, pooled, head.weight.T).softmax(dim=1) - wanted
        return (wrong @ head.weight) * rise * step

    return slope


@dataclass(frozen=True, kw_only=True)
class Bottleneck:
    """Finds non-robust channels by learning how much noise each channel bears before the prediction suffers.

    Attributes:
        beta: β, the weight of compression against prediction.
        lr: Adam's learning rate for λ_r.
        steps: Adam's steps.
        penalty: how the compression term is reduced over channels.
        ceiling: compare λ_k² with the largest channel variance of the same image ("image", eq. 6) or of the whole batch
            ("batch", the released code).
        noise: ε of eq. 4, one draw for each image and channel, or one for each position as well. Where the head averages over
            positions, as after the last block, it averages noise of the second kind away.
        variance: of a channel over its positions, v_c: divided by their number, or by one less ("unbiased", the released code).
        heads: those met so far, of frozen networks.
    """

    beta: float = 0.3
    lr: float = 0.1
    steps: int = 50
    penalty: Penalty = "sum"
    ceiling: Ceiling = "image"
    noise: Noise = "channel"
    variance: Variance = "biased"
    heads: dict[Any, PooledHead | None] = field(default_factory=dict, repr=False, compare=False)

    def noise_scale(
        self, head: Callable[[Tensor], Tensor], features: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        """λ, after softplus: the noise each channel of each image was given, [N, C].

        Minimises CE(f_{l+}(Z + λ·ε), y) + β·compression over λ_r, from 0 (FERD eq. 4–5). Only the head is run, and where it is a
        `PooledHead` not even that: the gradient is known in closed form. In float32.

        Args:
            head: f_{l+}, features [N, C, H, W] -> logits [N, K].
            features: Z = f_l(x), [N, C, H, W].
            labels: y, [N].
            generator: draws ε.
        """
        z = features.detach().float()
        variance = channel_variance(z, self.variance)
        raw = torch.zeros_like(variance)
        shape = z.shape if self.noise == "position" else (*variance.shape, 1, 1)
        pooled = self._pooled(head, z) if self.noise == "channel" else None
        slope = by_autograd(head, z, labels) if pooled is None else in_closed_form(pooled, z, labels)
        optimiser = torch.optim.Adam([raw], lr=self.lr, fused=True, capturable=z.device.type == "cuda")
        for _ in range(self.steps):
            scale = F.softplus(raw)
            noise = torch.randn(shape, generator=generator, device=z.device)
            to_scale = slope(scale, noise) + self.beta * compression_slope(variance, scale, self.penalty)
            raw.grad = to_scale * raw.sigmoid()  # through softplus
            optimiser.step()
        return F.softplus(raw)

    def _pooled(self, head: Callable[[Tensor], Tensor], z: Tensor) -> PooledHead | None:
        """A head in its form, read when it is met for the first time: comparing waits for a GPU."""
        if head not in self.heads:
            self.heads[head] = PooledHead.read(head, z)
        return self.heads[head]

    def non_robust(self, scale: Tensor, features: Tensor) -> Tensor:
        """i_nr: 1 where λ_k² < max_c Var(Z_c) (FERD eq. 6), as floats: [N, C], [N, C, H, W] -> [N, C, 1, 1]."""
        variance = channel_variance(features.detach(), self.variance)
        ceiling = variance.amax(dim=1, keepdim=True) if self.ceiling == "image" else variance.amax()
        return (scale.square() < ceiling).to(features.dtype)[:, :, None, None]


def channel_variance(features: Tensor, variance: Variance = "biased") -> Tensor:
    """v_c, the variance of each channel over its positions: [N, C, H, W] -> [N, C]."""
    return mean_and_variance(features.float(), (2, 3), correction=int(variance == "unbiased"))[1]
