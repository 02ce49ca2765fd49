"""The synthetic dataset D: every batch a method has kept, in memory on the device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class SyntheticPool:
    """Images stored as uint8 in one preallocated tensor, with the labels they were made for.

    Args:
        capacity: images it will ever hold; when it is full the oldest are overwritten.
        shape: (channels, height, width).
        device: where it lives.
    """

    def __init__(self, capacity: int, shape: tuple[int, int, int], device: torch.device) -> None:
        self.images = torch.empty((capacity, *shape), dtype=torch.uint8, device=device)
        self.labels = torch.empty(capacity, dtype=torch.int64, device=device)
        self.added = 0
        self.order = torch.empty(0, dtype=torch.int64, device=device)  # what is left of a pass

    def __len__(self) -> int:
        return min(self.added, len(self.labels))

    def add(self, images: Tensor, labels: Tensor) -> None:
        """Keep a batch: images [N, C, H, W] in [0, 1], labels [N]."""
        slots = torch.arange(self.added, self.added + len(labels), device=self.labels.device) % len(self.labels)
        self.images[slots] = (images.detach() * 255).round().to(torch.uint8)
        self.labels[slots] = labels
        self.added += len(labels)
        self.order = self.order[:0]

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """n images [n, C, H, W] in [0, 1] and their labels [n], in shuffled passes: none twice before all were drawn.

        A pass that was begun is dropped when images are added, as a loader of the pool would be made anew.

        Raises:
            ValueError: the pool is empty.
        """
        if not len(self):
            raise ValueError("the pool is empty: synthesize a batch before drawing from it")
        while len(self.order) < n:
            anew = torch.randperm(len(self), generator=generator, device=self.labels.device)
            self.order = torch.cat([self.order, anew])
        chosen, self.order = self.order[:n], self.order[n:]
        return self.images[chosen].float() / 255, self.labels[chosen]

    def latest(self, n: int) -> Tensor:
        """The n newest images (fewer where there are fewer), newest first, as floats in [0, 1]."""
        newest = torch.arange(self.added - 1, max(self.added - 1 - min(n, len(self)), -1), -1)
        return self.images[newest.to(self.images.device) % len(self.labels)].float() / 255

    def state_dict(self) -> dict[str, Any]:
        """The filled part (copied, off the GPU: saving a view would save all of the tensor behind it) and the count."""
        filled = len(self)
        images, labels = (tensor[:filled].to("cpu", copy=True) for tensor in (self.images, self.labels))
        return {"images": images, "labels": labels, "added": self.added, "order": self.order.to("cpu", copy=True)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        filled = len(state["labels"])
        self.images[:filled] = state["images"]
        self.labels[:filled] = state["labels"]
        self.added = state["added"]
        self.order = state["order"].to(self.labels.device)
