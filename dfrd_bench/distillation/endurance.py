"""How long images hold out under an attack: the count behind a class's difficulty κ."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Count = Literal["first", "all"]


class Endurance:
    """Watches an attack step by step, and counts for each image the steps that it withstands.

    Args:
        labels: [N], the classes that count as right.
        count: an image withstands the steps before which it is still classified correctly: those before the "first" at
            which it is not (Fair-ARD eq. 5), or "all" such, also when it comes back (Fair-ARD's released code).
    """

    def __init__(self, labels: Tensor, count: Count) -> None:
        self.labels, self.count = labels, count
        self.steps = torch.zeros(len(labels), device=labels.device)
        self.standing = torch.ones(len(labels), dtype=torch.bool, device=labels.device)

    def see(self, logits: Tensor) -> Tensor:
        """What the attacked network says of the images before a step, [N, K]; returns for which it is right, [N] bool."""
        right = logits.detach().argmax(dim=1) == self.labels
        self.standing = right & self.standing if self.count == "first" else right
        self.steps.add_(self.standing)
        return right
