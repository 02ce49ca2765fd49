"""Learning a starting point from which a few steps suffice: first-order MAML and Reptile."""

from __future__ import annotations

import copy
from typing import Literal

import torch
from torch import nn

MetaRule = Literal["fomaml", "reptile"]


class InnerLoop:
    """A copy of a model that is trained in its place, and what the model is to learn from the copy's path.

    The model's own weights θ do not move here; after `finish` its gradients hold the meta-gradient, for an optimiser to use:
    with `fomaml` (Finn et al. 2017, first order) the sum of the copy's gradients over its steps, with `reptile` (Nichol et
    al. 2018) θ − θ', θ' being where the copy ended.

    Args:
        model: θ.
        rule: how the meta-gradient is made.

    Attributes:
        adapted: θ', to be trained by the caller.
    """

    def __init__(self, model: nn.Module, rule: MetaRule) -> None:
        self.model = model
        self.rule = rule
        self.adapted = copy.deepcopy(model)
        model.zero_grad(set_to_none=True)

    def gather(self) -> None:
        """Call when the copy's gradients are there, in every step it takes."""
        if self.rule == "fomaml":
            for mine, its in zip(self.model.parameters(), self.adapted.parameters(), strict=True):
                if its.grad is not None:
                    mine.grad = its.grad.clone() if mine.grad is None else mine.grad + its.grad

    @torch.no_grad()
    def finish(self) -> None:
        """Call after the copy's last step."""
        if self.rule == "reptile":
            for mine, its in zip(self.model.parameters(), self.adapted.parameters(), strict=True):
                mine.grad = mine - its
