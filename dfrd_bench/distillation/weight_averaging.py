"""A running average of a network's weights, into which only some epochs go (CFA's FAWA, Wei et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class EpochAverage:
    """w̄ ← d·w̄ + (1 − d)·w of everything in a network's state, BatchNorm's statistics included; w itself the first time.

    Args:
        decay: d.
        device: where the network is.

    Attributes:
        weights: w̄ by name; empty before the first update.
    """

    def __init__(self, decay: float, device: torch.device) -> None:
        self.decay, self.device = decay, device
        self.weights: dict[str, Tensor] = {}

    def update(self, network: nn.Module) -> None:
        """Let the network's present state in; whole numbers (BatchNorm's count) are taken over."""
        for name, value in network.state_dict().items():
            if name in self.weights and value.is_floating_point():
                self.weights[name].mul_(self.decay).add_(value, alpha=1 - self.decay)
            else:
                self.weights[name] = value.detach().clone()

    def copy_to(self, network: nn.Module) -> None:
        """Make the average the network's state."""
        network.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Tensor]:
        """The average."""
        return dict(self.weights)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore it."""
        self.weights = {name: value.to(self.device, copy=True) for name, value in state.items()}
