"""Weights, images and noise from a formula, so that a stored parity case need not hold them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

GOLDEN = (math.sqrt(5) - 1) / 2


def spread(shape: tuple[int, ...], seed: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Numbers that fill [low, high) evenly and look random: fractional parts of i²·golden ratio, i from 1000·seed + 1."""
    i = torch.arange(1, math.prod(shape) + 1, dtype=torch.float64) + 1000 * seed
    return (low + (high - low) * (i * i * GOLDEN).frac()).float().reshape(shape)


def fill(model: nn.Module, seed: int) -> nn.Module:
    """Every weight and running statistic of a network from `spread`, of the sizes that trained ones have; in eval mode."""
    state = model.state_dict()
    for place, (name, value) in enumerate(state.items()):
        end, own = name.rpartition(".")[2], 50 * seed + place
        if value.ndim > 1:
            width = math.sqrt(6 / value[0].numel()) * (2.5 if value.ndim == 2 else 1)
            state[name] = spread(tuple(value.shape), own, -width, width)
        elif end in ("running_var", "weight"):
            state[name] = spread(tuple(value.shape), own, 0.5, 1.5)
        elif value.is_floating_point():
            state[name] = spread(tuple(value.shape), own, -0.3, 0.3)
    model.load_state_dict(state)
    return model.eval()
