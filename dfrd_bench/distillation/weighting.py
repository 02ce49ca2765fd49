"""How much each image of a batch weighs in the student's loss: all the same, or by how hard its class is (Fair-ARD)."""

from __future__ import annotations

import math
from typing import Literal, Protocol

import torch
from torch import Tensor

from dfrd_bench.method import Resumable, Stateful
from dfrd_bench.problem import Problem

CLAMP = (5 / 6, 5 / 2)
TINY = 1e-5  # added to κ, as the released code does, so that a class that withstands no step has a weight

OF_FAIRNESS = ("beta", "clamp", "count", "sizes")
"""The hyper-parameters of whoever weighs classes, of no use to anybody else."""

Clamp = Literal["none", "released"]
Sizes = Literal["own", "equal"]


class Fairness(Protocol):
    """Hyper-parameters that say how classes are weighted."""

    @property
    def beta(self) -> float: ...
    @property
    def clamp(self) -> Clamp: ...
    @property
    def sizes(self) -> Sizes: ...


class Weighting(Stateful, Protocol):
    """Weights of images, learnt from how they fare."""

    def of(self, labels: Tensor, withstood: Tensor | None = None) -> Tensor:
        """The weights of a batch: its images' classes [N], and how many steps each withstood just now [N] -> [N]."""

    def observe(self, labels: Tensor, withstood: Tensor | None) -> None:
        """Images of these classes [N] withstood so many steps [N] of the student's attack."""

    def end_epoch(self) -> dict[str, float]:
        """Let the next epoch have weights from what was observed in this one; returns numbers for the history."""


class Uniform(Resumable):
    """Every image weighs the same."""

    def of(self, labels: Tensor, withstood: Tensor | None = None) -> Tensor:
        """1 for every image."""
        return torch.ones(len(labels), device=labels.device)

    def observe(self, labels: Tensor, withstood: Tensor | None) -> None:
        """Nothing is learnt."""

    def end_epoch(self) -> dict[str, float]:
        """Nothing changes."""
        return {}


class ClassDifficulty(Resumable):
    """ω_c = κ_c^−β, scaled to a mean of 1: hard classes weigh more (Fair-ARD, Yue et al. 2023, eq. 5-7).

    κ_c is the mean number of steps that the images of class c withstood in the epoch before; the first epoch weighs all alike.
    Turns a method X into Fair-X. A class keeps its κ in an epoch without images of it; before its first it has none, weighs 1,
    and is not among those whose mean weight is 1.

    Args:
        num_classes: K.
        device: where labels are.
        beta: β; 0 weighs all alike.
        clamp: "none" as the paper's text, or "released": ω is cut to [5/6, 5/2] after it is scaled, so that its mean is above 1.
        sizes: what κ_c's sum is divided by: a class's "own" number of images (eq. 6), or N/K as if all were "equal" in size
            (released code).
    """

    def __init__(
        self, num_classes: int, device: torch.device, *, beta: float = 2.0, clamp: Clamp = "none", sizes: Sizes = "own"
    ) -> None:
        self.beta, self.clamp, self.sizes = beta, clamp, sizes
        self.weights = torch.ones(num_classes, device=device)
        self.kappa = torch.full((num_classes,), math.nan, dtype=torch.float64, device=device)
        self.total = torch.zeros(num_classes, dtype=torch.float64, device=device)
        self.count = torch.zeros(num_classes, dtype=torch.float64, device=device)

    @classmethod
    def by(cls, fairness: Fairness, problem: Problem) -> ClassDifficulty:
        """The weighting that hyper-parameters describe."""
        k, device = problem.num_classes, problem.device
        return cls(k, device, beta=fairness.beta, clamp=fairness.clamp, sizes=fairness.sizes)

    def of(self, labels: Tensor, withstood: Tensor | None = None) -> Tensor:
        """ω of each image's class."""
        return self.weights[labels]

    def observe(self, labels: Tensor, withstood: Tensor | None) -> None:
        """Add a batch to this epoch's κ."""
        assert withstood is not None, "classes are weighted by how they withstand an attack, and this lesson has none"
        self.total.index_add_(0, labels, withstood.double())
        self.count.index_add_(0, labels, torch.ones_like(withstood, dtype=torch.float64))

    def end_epoch(self) -> dict[str, float]:
        """κ of this epoch, and ω for the next; of a class without κ the history has none."""
        count = self.count if self.sizes == "own" else torch.full_like(self.count, float(self.count.mean()))
        self.kappa = torch.where(self.count > 0, self.total / count.clamp(min=TINY), self.kappa)
        known = ~self.kappa.isnan()
        self.weights = torch.ones_like(self.weights)
        self.weights[known] = class_weights(self.kappa[known], beta=self.beta, clamp=self.clamp).float()
        self.total, self.count = torch.zeros_like(self.total), torch.zeros_like(self.count)
        kappa, weights = self.kappa.tolist(), self.weights.tolist()
        return {
            **{f"kappa/{k}": value for k, value in enumerate(kappa) if not math.isnan(value)},
            **{f"w/{k}": value for k, value in enumerate(weights)},
        }


def class_weights(kappa: Tensor, *, beta: float, clamp: Clamp = "none") -> Tensor:
    """ω from κ, [K] -> [K] in float64: (κ + 1e-5)^−β, scaled to a mean of 1 (Fair-ARD eq. 7), then cut where asked."""
    weights = (kappa.double() + TINY).pow(-beta)
    weights = weights * (len(weights) / weights.sum())
    return weights.clamp(*CLAMP) if clamp == "released" else weights
