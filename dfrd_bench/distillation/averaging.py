"""An average of a network's weights over the steps of its training."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


class WeightAverage:
    """Exponential moving average of a network's weights and BatchNorm statistics (Rebuffi et al. 2021).

    After n updates the decay is at most (1 + n) / (10 + n), so that the initial weights are forgotten early.

    Attributes:
        model: the averaged network, in eval mode.
        updates: how many states of the network are in it.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the network's present state; counters are copied."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        now = model.state_dict()
        for name, average in self.model.state_dict().items():
            if average.is_floating_point():
                average.lerp_(now[name], 1 - decay)
            else:
                average.copy_(now[name])

    def state_dict(self) -> dict[str, Any]:
        """The averages and how many updates made them."""
        return {"model": self.model.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.model.load_state_dict(state["model"])
        self.updates = state["updates"]
