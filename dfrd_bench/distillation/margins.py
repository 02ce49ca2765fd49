"""How far an attack may go, class by class: ε and the step as multiples of the threat model's (CFA, DAFA, FRL)."""

from __future__ import annotations

import torch
from torch import Tensor

from dfrd_bench.method import Resumable


class ClassMargins(Resumable):
    """ε_c and step_c of every class, all the threat model's until they are set; only training uses them.

    Args:
        num_classes: K.
        device: where labels are.

    Attributes:
        radii: ε_c / ε, [K].
        steps: step_c / step, [K].
    """

    def __init__(self, num_classes: int, device: torch.device) -> None:
        self.radii = torch.ones(num_classes, device=device)
        self.steps = torch.ones(num_classes, device=device)

    def set(self, radii: Tensor, steps: Tensor | None = None) -> None:
        """Multiples of ε, and of the step unless that stays as it is: [K] each."""
        self.radii = radii.float()
        if steps is not None:
            self.steps = steps.float()

    def of(self, labels: Tensor, eps: float, step: float) -> tuple[Tensor, Tensor]:
        """ε and step of each image, [N, 1, 1, 1], from its class and the threat model's."""
        shape = (-1, 1, 1, 1)
        return (eps * self.radii[labels]).view(shape), (step * self.steps[labels]).view(shape)

    def numbers(self) -> dict[str, float]:
        """ε_c / ε, for the history."""
        return {f"eps/{k}": value for k, value in enumerate(self.radii.tolist())}
