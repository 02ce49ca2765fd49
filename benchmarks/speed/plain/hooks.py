"""What enters a network's BatchNorm layers, by forward hooks that stay registered."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class BatchNormHook:
    """One layer: distance of the batch's statistics from the running ones (L_bn), and each image's channel means.

    Attributes:
        active: whether passes are measured.
        distance: ‖σ² − running_var‖₂ + ‖μ − running_mean‖₂ of the last measured pass.
        means: [N, C], each channel's mean over positions, per image.
    """

    def __init__(self, layer: nn.BatchNorm2d, momentum: float = 0.0) -> None:
        self.layer = layer
        self.momentum = momentum
        self.active = False
        self.past: tuple[Tensor, Tensor] | None = None
        self.now: tuple[Tensor, Tensor] = (torch.empty(0), torch.empty(0))
        self.distance = self.means = torch.empty(0)
        layer.register_forward_hook(self.measure)

    def measure(self, _layer: nn.Module, inputs: tuple[Any, ...], _output: Tensor) -> None:
        """Called after every pass through the layer."""
        if not self.active:
            return
        features = inputs[0].float()
        mean = features.mean([0, 2, 3])
        variance = features.permute(1, 0, 2, 3).contiguous().view(features.shape[1], -1).var(1, unbiased=False)
        if self.past is not None:
            mean = (1 - self.momentum) * mean + self.momentum * self.past[0]
            variance = (1 - self.momentum) * variance + self.momentum * self.past[1]
        self.now = mean, variance
        assert self.layer.running_mean is not None
        assert self.layer.running_var is not None
        self.distance = torch.norm(self.layer.running_var - variance, 2)
        self.distance = self.distance + torch.norm(self.layer.running_mean - mean, 2)
        self.means = features.mean(dim=[2, 3])

    def remember(self) -> None:
        """End a round: the statistics, mixed with those of earlier rounds, are the past of the next (Fang et al. 2022)."""
        self.past = self.now[0].detach(), self.now[1].detach()


class Hooks:
    """Those of all BatchNorm layers of a network."""

    def __init__(self, model: nn.Module, momentum: float = 0.0) -> None:
        self.all = [BatchNormHook(m, momentum) for m in model.modules() if isinstance(m, nn.BatchNorm2d)]

    def activate(self, active: bool) -> None:
        """Measure passes from now on, or no longer."""
        for hook in self.all:
            hook.active = active

    def distance(self) -> Tensor:
        """L_bn, a scalar."""
        total = self.all[0].distance
        for hook in self.all[1:]:
            total = total + hook.distance
        return total

    def means(self) -> Tensor:
        """Features of images, [N, F]."""
        return torch.cat([hook.means for hook in self.all], dim=1)

    def remember(self) -> None:
        """End a round."""
        for hook in self.all:
            hook.remember()
