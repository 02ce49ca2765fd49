"""Whether images made for a class are of that class, in the teacher's eyes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

FAILED = 0.5  # a class whose images the teacher takes for it less often than this was not synthesized


class Agreement:
    """For every class, the images made for it so far, and those that the teacher takes for it.

    Args:
        num_classes: K.
        device: of the labels.
    """

    def __init__(self, num_classes: int, device: torch.device) -> None:
        self.made = torch.zeros(num_classes, dtype=torch.int64, device=device)
        self.right = torch.zeros_like(self.made)

    def add(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Count a batch: f^T(x) [N, K], the classes it was made for [N]; returns the share of it that agrees, a scalar."""
        agreed = logits.argmax(dim=1) == labels
        self.made += torch.bincount(labels, minlength=len(self.made))
        self.right += torch.bincount(labels[agreed], minlength=len(self.made))
        return agreed.float().mean()

    def failed(self) -> dict[int, float]:
        """The classes whose synthesis failed, with the share of their images that the teacher takes for them."""
        shares = (self.right / self.made.clamp(min=1)).tolist()
        return {k: share for k, share in enumerate(shares) if share < FAILED and self.made[k]}

    def state_dict(self) -> dict[str, Any]:
        """Both counts."""
        return {"made": self.made.clone(), "right": self.right.clone()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.made.copy_(state["made"])
        self.right.copy_(state["right"])
