"""Learning rates over the course of a training."""

from __future__ import annotations

import math

from torch.optim import Optimizer


def cosine(done: float, total: float) -> float:
    """Share of the highest learning rate after a part of the training: along a cosine from 1 down to 0."""
    return (1 + math.cos(math.pi * done / total)) / 2


def one_cycle(progress: float, warmup: float) -> float:
    """Share of the highest learning rate at a progress in [0, 1]: a straight rise over `warmup`, then a cosine to 0."""
    return progress / warmup if progress < warmup else cosine(progress - warmup, 1 - warmup)


def set_learning_rate(optimiser: Optimizer, rate: float) -> None:
    """Give every group of parameters the same learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate
