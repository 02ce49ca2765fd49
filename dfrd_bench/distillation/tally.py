"""Means of numbers over an epoch: by name, or class by class."""

from __future__ import annotations

from collections.abc import Mapping

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


class Averages:
    """Means of named numbers over the steps of an epoch; those on a GPU are fetched once, not at every step."""

    def __init__(self) -> None:
        self._values: dict[str, list[float | Tensor]] = {}

    def add(self, numbers: Mapping[str, float | Tensor]) -> None:
        """Add one step's numbers: floats, or scalar tensors without a graph."""
        for name, value in numbers.items():
            self._values.setdefault(name, []).append(value)

    def means(self) -> dict[str, float]:
        """Mean per name."""
        return {name: sum(_floats(values)) / len(values) for name, values in self._values.items()}


def _floats(values: list[float | Tensor]) -> list[float]:
    tensors = [value for value in values if isinstance(value, Tensor)]
    if len(tensors) < len(values):
        return [float(value) for value in values]
    fetched: list[float] = torch.stack(tensors).tolist()
    return fetched
