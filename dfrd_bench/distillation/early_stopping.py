"""Two images from one attack, on either side of the decision boundary: its path stopped early (BAT, Sun et al. 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dfrd_bench.distillation.inner_attack import InnerAttack
from dfrd_bench.distillation.lessons import Batch
from dfrd_bench.distillation.modes import frozen


@dataclass(frozen=True)
class Stopped:
    """Where an attack's path is left.

    Attributes:
        inside: of each image the last iterate that is still classified correctly, [N, C, H, W]; its start where none is.
        outside: an iterate that is not, after some such; the last one where there are too few.
        withstood: see `Attacked`.
    """

    inside: Tensor
    outside: Tensor
    withstood: Tensor


@dataclass(frozen=True)
class StoppedAttack:
    """An attack whose path is left twice: before it crosses the boundary, and where `beyond` iterates across were passed.

    One more pass than the attack itself sees whether the last iterate is across.

    Attributes:
        attack: whose path; in eval mode.
        beyond: τ.
    """

    attack: InnerAttack
    beyond: int = 1

    def __call__(self, student: nn.Module, batch: Batch, generator: torch.Generator) -> Stopped:
        """Both images of every image of a batch."""
        assert self.attack.mode == "eval", "the last look at an iterate does not move BatchNorm's statistics"
        path = _Path(self.beyond)
        found = self.attack(student, batch, generator, path)
        with frozen(student), torch.no_grad():
            logits = self.attack.problem.precision.logits(student, found.x)
        path(found.x, logits.argmax(dim=1) == batch.labels)
        return Stopped(path.inside, path.outside, found.withstood)


class _Path:
    """Follows the iterates of an attack, and keeps two of each image."""

    inside: Tensor
    outside: Tensor
    across: Tensor  # how many iterates were classified wrongly so far, [N]

    def __init__(self, beyond: int) -> None:
        self.beyond = beyond
        self.begun = False

    def __call__(self, images: Tensor, right: Tensor) -> None:
        if not self.begun:
            self.inside = self.outside = images.clone()
            self.across, self.begun = torch.zeros(len(images), dtype=torch.long, device=images.device), True
        self.outside = torch.where((self.across <= self.beyond)[:, None, None, None], images, self.outside)
        self.across = self.across + ~right
        self.inside = torch.where((self.across == 0)[:, None, None, None], images, self.inside)
