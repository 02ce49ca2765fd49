"""Mean and variance of feature maps, and the way back through them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def mean_and_variance(x: Tensor, dims: tuple[int, ...], correction: int = 0) -> tuple[Tensor, Tensor]:
    """Mean and variance over some dimensions, which are gone afterwards.

    Args:
        x: any tensor.
        dims: the dimensions.
        correction: what the number of values is lessened by in the variance.
    """
    if x.device.type != "cpu":
        variance, mean = torch.var_mean(x, dim=dims, correction=correction)
        return mean, variance
    # two passes: on a CPU `torch.var_mean` over images takes ten times as long
    mean = x.mean(dims, keepdim=True)
    squares = (x - mean).square_().sum(dims)
    return mean.view_as(squares), squares / (x.numel() // squares.numel() - correction)


class ChannelMoments(torch.autograd.Function):
    """Mean and biased variance of each channel over images and positions; going back through both is one pass.

    `ChannelMoments.apply(features)`: [N, C, H, W] -> [C], [C].
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> tuple[Tensor, Tensor]:
        mean, variance = mean_and_variance(features, (0, 2, 3))
        ctx.save_for_backward(features, mean)
        return mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_mean: Tensor, to_variance: Tensor) -> Tensor:
        """∂μ/∂x = 1/n and ∂σ²/∂x = 2(x − μ)/n, of n values per channel."""
        features, mean = ctx.saved_tensors
        count = features.numel() // features.shape[1]
        slope = 2 * to_variance / count
        constant = to_mean / count - slope * mean
        return torch.addcmul(constant[:, None, None], features, slope[:, None, None])
