"""Carlini & Wagner's L2 attack with a fixed constant: no ε ball, so not one of the standard five."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dfrd_bench.attacks.effort import Effort
from dfrd_bench.attacks.projected_gradient import margin
from dfrd_bench.attacks.verdict import require_eval_mode
from dfrd_bench.problem import ThreatModel

INSIDE = 1 - 1e-6  # tanh reaches ±1 nowhere


@dataclass(frozen=True, kw_only=True)
class CarliniWagnerL2:
    """min ‖x' − x‖² + c·max(z_y − max_{j≠y} z_j, −κ) over x' = (tanh w + 1)/2 (Carlini & Wagner 2017, L2 attack, objective f6).

    The constant is fixed, not searched for: a small one leaves an image alone whose cheapest misclassification costs more than
    the hinge can pay. The defaults of constant, steps and learning rate are those of Kim et al.'s (2021) released code.

    Attributes:
        summary: one line for `dfrd-bench list attacks`.
        constant: c.
        confidence: κ.
        steps: Adam steps.
        lr: Adam's learning rate on w.
    """

    summary: str
    constant: float = 0.1
    confidence: float = 0.0
    steps: int = 200
    lr: float = 0.1

    def parameters(self, threat: ThreatModel) -> dict[str, Any]:
        """What a record stores about this attack; the threat model plays no part."""
        return {
            "norm": "L2",
            "eps": None,
            "c": self.constant,
            "confidence": self.confidence,
            "steps": self.steps,
            "lr": self.lr,
        }

    def effort(self, num_classes: int) -> Effort:
        """A gradient per step, and a verdict."""
        return Effort(queries=1, gradients=self.steps)

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, *, threat: ThreatModel, indices: Tensor, seed: int
    ) -> Tensor:
        """The nearest misclassified image met on the way for each image [N, C, H, W], or the image itself if there was none.

        Args:
            model: in eval mode; images [N, C, H, W] in [0, 1] -> logits [N, K].
            x: clean images.
            y: true labels [N].
            threat: not used.
            indices: not used; nothing is random.
            seed: not used.

        Raises:
            DfrdBenchError: the network is in training mode.
        """
        require_eval_mode(model)
        x = x.detach()
        w = torch.atanh((2 * x - 1).clamp(-INSIDE, INSIDE)).requires_grad_()
        optimiser = torch.optim.Adam([w], lr=self.lr)
        best, nearest = x.clone(), torch.full((len(x),), torch.inf, device=x.device)
        for _ in range(self.steps):
            with torch.enable_grad():
                candidate = (w.tanh() + 1) / 2
                distance = (candidate - x).square().flatten(1).sum(dim=1)
                by = margin(model(candidate), y)
                loss = (distance + self.constant * by.clamp(min=-self.confidence)).sum()
            optimiser.zero_grad(set_to_none=True)
            (w.grad,) = torch.autograd.grad(loss, w)
            optimiser.step()
            nearer = (by.detach() < 0) & (distance.detach() < nearest)
            best[nearer], nearest[nearer] = candidate.detach()[nearer], distance.detach()[nearer]
        return best


cw_l2 = CarliniWagnerL2(summary="CW-L2: c = 0.1, 200 Adam steps, no ε ball; not comparable with CW∞")
