"""Weights image by image: those that withstand the attack for fewer steps weigh more (GAIRAT, Zhang et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from dfrd_bench.method import Resumable


class GeometryAware(Resumable):
    """ω(x) = ½·(1 + tanh(Λ + 5·(1 − 2κ(x)/steps))), scaled to a mean of 1 in the batch; κ(x) steps are withstood.

    Nothing is carried from batch to batch.

    Args:
        steps: of the attack.
        slope: Λ; the larger, the more alike all weights are.

    Attributes:
        active: whether it weighs yet; else all images weigh alike.
    """

    def __init__(self, steps: int, slope: float) -> None:
        self.steps, self.slope = steps, slope
        self.active = True

    def of(self, labels: Tensor, withstood: Tensor | None = None) -> Tensor:
        """ω of each image, from how it fared just now."""
        if not self.active:
            return torch.ones(len(labels), device=labels.device)
        assert withstood is not None, "images are weighted by how they withstand an attack, and this lesson has none"
        # ½·(1 + tanh z) = sigmoid(2z), scaled as a logarithm: a whole batch may be far from the boundary
        logarithm = F.logsigmoid(2 * (self.slope + 5 * (1 - 2 * withstood / self.steps)))
        return len(labels) * logarithm.softmax(dim=0)

    def observe(self, labels: Tensor, withstood: Tensor | None) -> None:
        """Nothing is learnt."""

    def end_epoch(self) -> dict[str, float]:
        """Nothing changes."""
        return {}
