"""Class weights and margins by multipliers on constraints that validation errors break (FRL, Xu et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor

from dfrd_bench.method import Resumable

BUDGET = (
    0.5  # what the weights' multipliers may sum to, so that no weight is negative; all three are of FRL's released code
)
MARGINS = (0.98, 3.0)  # in which ε_c / ε stays


class ErrorMultipliers(Resumable):
    """A multiplier per class on "its error exceeds the mean error by no more than δ": broken, the class weighs more.

    W_c = 1/K + (1 − 1/K)·l_c − (1/K)·Σ_{j≠c} l_j, here times K; in a batch the weights are scaled to a mean of 1. A second
    family, free in sign, moves the margins: ε_c = ε·exp(2·m_c), cut to [0.98, 3].

    Args:
        num_classes: K.
        device: where labels are.
        tolerance: δ.
        rate: ρ, what a violation adds to the weights' multiplier.
        margin_rate: the same of the margins' multiplier; 0 leaves the margins as they are.
    """

    def __init__(
        self, num_classes: int, device: torch.device, *, tolerance: float, rate: float, margin_rate: float = 0.0
    ) -> None:
        self.tolerance, self.rate, self.margin_rate = tolerance, rate, margin_rate
        self.on_weights = torch.zeros(num_classes, dtype=torch.float64, device=device)
        self.on_margins = torch.zeros(num_classes, dtype=torch.float64, device=device)

    def update(self, errors: Tensor, mean_error: float) -> None:
        """From the error of each class [K], and that of all images."""
        violation = errors.double() - mean_error - self.tolerance
        raised = (self.on_weights + self.rate * violation).clamp(min=0)
        self.on_weights = raised * min(1.0, BUDGET / max(float(raised.sum()), BUDGET))
        self.on_margins = self.on_margins + self.margin_rate * violation

    @property
    def weights(self) -> Tensor:
        """K·W_c, [K]; their mean is 1."""
        return 1 + len(self.on_weights) * self.on_weights - self.on_weights.sum()

    @property
    def radii(self) -> Tensor:
        """ε_c / ε, [K]."""
        return (2 * self.on_margins).exp().clamp(*MARGINS)

    def of(self, labels: Tensor, withstood: Tensor | None = None) -> Tensor:
        """W of each image's class, over the batch's mean."""
        weights = self.weights.float()[labels]
        return weights / weights.mean()

    def observe(self, labels: Tensor, withstood: Tensor | None) -> None:
        """Nothing is learnt from training images."""

    def end_epoch(self) -> dict[str, float]:
        """The weights of this epoch, for the history."""
        return {f"w/{k}": value for k, value in enumerate(self.weights.tolist())}
