"""What a teacher makes of synthetic images: how sure it is, how far its boundary is, how evenly they spread over classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrd_bench.attacks.projected_gradient import ascend, cross_entropy

STEPS = 20  # of the search at each radius, a quarter of which each of them is long
HALVINGS = 6  # of the interval that the distance lies in
LARGEST = 1.0  # within it any image can become any other


@dataclass(frozen=True)
class Portrait:
    """Synthetic images, seen by the teacher.

    Attributes:
        images: how many.
        entropy: of the teacher's prediction, in nats, averaged over images; ln K where it knows nothing.
        confidence: its largest probability, averaged over images.
        distance: the L∞ distance to where the teacher changes its mind, the median over images; found by PGD, so at most that.
        inside: the share of images whose distance is less than the threat model's ε.
        spread: entropy of the teacher's classes over the images, in nats; ln K where all are equally frequent.
        largest: the share of the most frequent class.
    """

    images: int
    entropy: float
    confidence: float
    distance: float
    inside: float
    spread: float
    largest: float


def portray(teacher: nn.Module, images: Tensor, eps: float) -> Portrait:
    """Ask the teacher about some images.

    Args:
        teacher: in eval mode.
        images: [N, C, H, W] in [0, 1].
        eps: ε of the threat model.
    """
    with torch.no_grad():
        logits = teacher(images).float()
    probabilities = logits.softmax(dim=1)
    shares = F.one_hot(logits.argmax(dim=1), logits.shape[1]).float().mean(dim=0)
    distances = boundary_distances(teacher, images, eps)
    return Portrait(
        images=len(images),
        entropy=float(torch.special.entr(probabilities).sum(dim=1).mean()),
        confidence=float(probabilities.amax(dim=1).mean()),
        distance=float(distances.median()),
        inside=float((distances < eps).float().mean()),
        spread=float(torch.special.entr(shares).sum()),
        largest=float(shares.max()),
    )


def boundary_distances(teacher: nn.Module, images: Tensor, first: float) -> Tensor:
    """For each image the radius of the smallest L∞ ball in which PGD finds another class than the teacher's own, [N].

    From `first` the radius is doubled until PGD finds one, and then the interval is halved. PGD may miss one that is there, so
    the distances are upper bounds, each within a sixty-fourth of the interval in which it was found.

    Args:
        teacher: in eval mode.
        images: [N, C, H, W] in [0, 1].
        first: the radius to begin with.
    """
    with torch.no_grad():
        own = teacher(images).argmax(dim=1)

    def crossed(radii: Tensor) -> Tensor:
        """Which images become another class within their radius: in units of the radius, so that each has a ball of its own."""
        size = radii[:, None, None, None]

        def objective(moves: Tensor) -> Tensor:
            return cross_entropy(teacher((images + size * (moves - 0.5)).clamp(0, 1)).float(), own)

        # moves of at most half a unit around the middle: [0, 1] is what `ascend` keeps to
        moved = ascend(objective, torch.full_like(images, 0.5), eps=0.5, step=0.125, steps=STEPS)
        with torch.no_grad():
            changed: Tensor = teacher((images + size * (moved - 0.5)).clamp(0, 1)).argmax(dim=1) != own
        return changed

    low, high = torch.zeros(len(images), device=images.device), torch.full((len(images),), first, device=images.device)
    while bool((searching := (high < LARGEST) & ~crossed(2 * high)).any()):
        low = torch.where(searching, high, low)
        high = torch.where(searching, (2 * high).clamp(max=LARGEST), high)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        inside = crossed(2 * middle)
        low, high = torch.where(inside, low, middle), torch.where(inside, middle, high)
    return high
