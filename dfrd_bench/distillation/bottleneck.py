"""Which channels of a feature map are not robust: the information bottleneck of FERD (eq. 3–6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

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
    """

    beta: float = 0.3
    lr: float = 0.1
    steps: int = 50
    penalty: Penalty = "sum"
    ceiling: Ceiling = "image"
    noise: Noise = "channel"
    variance: Variance = "biased"

    def noise_scale(
        self, head: Callable[[Tensor], Tensor], features: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        """λ, after softplus: the noise each channel of each image was given, [N, C].

        Minimises CE(f_{l+}(Z + λ·ε), y) + β·compression over λ_r, from 0 (FERD eq. 4–5). Only the head is run.

        Args:
            head: f_{l+}, features [N, C, H, W] -> logits [N, K].
            features: Z = f_l(x), [N, C, H, W].
            labels: y, [N].
            generator: draws ε.
        """
        z = features.detach()
        variance = channel_variance(z, self.variance)
        raw = torch.zeros_like(variance, requires_grad=True)
        shape = z.shape if self.noise == "position" else (*variance.shape, 1, 1)
        optimiser = torch.optim.Adam([raw], lr=self.lr)
        for _ in range(self.steps):
            scale = F.softplus(raw)
            noise = torch.randn(shape, generator=generator, device=z.device)
            with torch.enable_grad():
                prediction = F.cross_entropy(head(z + scale[:, :, None, None] * noise).float(), labels, reduction="sum")
                loss = prediction + self.beta * compression(variance, scale, self.penalty).sum()
            (raw.grad,) = torch.autograd.grad(loss, raw)
            optimiser.step()
        return F.softplus(raw).detach()

    def non_robust(self, scale: Tensor, features: Tensor) -> Tensor:
        """i_nr: 1 where λ_k² < max_c Var(Z_c) (FERD eq. 6), as floats: [N, C], [N, C, H, W] -> [N, C, 1, 1]."""
        variance = channel_variance(features.detach(), self.variance)
        ceiling = variance.amax(dim=1, keepdim=True) if self.ceiling == "image" else variance.amax()
        return (scale.square() < ceiling).to(features.dtype)[:, :, None, None]


def channel_variance(features: Tensor, variance: Variance = "biased") -> Tensor:
    """v_c, the variance of each channel over its positions: [N, C, H, W] -> [N, C]."""
    return features.float().var(dim=(2, 3), correction=int(variance == "unbiased"))
