"""Means of numbers class by class over an epoch."""

from __future__ import annotations

import torch
from torch import Tensor

from dfrd_bench.method import Resumable


class ClassTally(Resumable):
    """Sums up numbers of images by class; a class without images keeps the mean it had, at first 0.

    Args:
        num_classes: K.
        device: where labels are.
    """

    def __init__(self, num_classes: int, device: torch.device) -> None:
        self.means = torch.zeros(num_classes, dtype=torch.float64, device=device)
        self.total = torch.zeros_like(self.means)
        self.count = torch.zeros_like(self.means)

    def add(self, labels: Tensor, values: Tensor) -> None:
        """A batch: classes [N] and numbers [N]."""
        self.total.index_add_(0, labels, values.double())
        self.count.index_add_(0, labels, torch.ones_like(values, dtype=torch.float64))

    def finish(self) -> Tensor:
        """The means [K] of what was added since the last time."""
        self.means = torch.where(self.count > 0, self.total / self.count.clamp(min=1), self.means)
        self.total, self.count = torch.zeros_like(self.total), torch.zeros_like(self.count)
        return self.means
