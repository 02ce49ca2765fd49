"""No attack at all, under the attacks' contract, so that clean accuracy is measured like every other number."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from dfrd_bench.attacks.effort import Effort
from dfrd_bench.problem import ThreatModel


class Clean:
    """No perturbation."""

    summary = "no perturbation"

    def parameters(self, threat: ThreatModel) -> dict[str, Any]:
        """What a record stores about this attack: nothing to set."""
        return {}

    def effort(self, num_classes: int) -> Effort:
        """The image itself, once."""
        return Effort(queries=1, gradients=0)

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, *, threat: ThreatModel, indices: Tensor, seed: int
    ) -> Tensor:
        """The images themselves."""
        return x


clean = Clean()
