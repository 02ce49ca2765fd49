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
        numbers: M, how many an image has.
    """

    def __init__(self, num_classes: int, device: torch.device, numbers: int = 1) -> None:
        self.means = torch.zeros(num_classes, numbers, dtype=torch.float64, device=device)
        self.total = torch.zeros_like(self.means)
        self.count = torch.zeros(num_classes, 1, dtype=torch.float64, device=device)

    def add(self, labels: Tensor, values: Tensor) -> None:
        """A batch: classes [N] and numbers [N, M]."""
        self.total.index_add_(0, labels, values.double())
        self.count.index_add_(0, labels, torch.ones_like(values[:, :1], dtype=torch.float64))

    def finish(self) -> Tensor:
        """The means [K, M] of what was added since the last time."""
        self.means = torch.where(self.count > 0, self.total / self.count.clamp(min=1), self.means)
        self.total, self.count = torch.zeros_like(self.total), torch.zeros_like(self.count)
        return self.means
