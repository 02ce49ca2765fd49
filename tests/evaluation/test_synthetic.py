"""What a teacher makes of images, where it can be worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from dfrd_bench.evaluation.synthetic import boundary_distances, portray


class Brightness(nn.Module):
    """Two classes: brighter or darker than a half on average; logits ±s·(mean − ½)."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        z = self.slope * (x.mean(dim=(1, 2, 3)) - 0.5)
        return torch.stack([-z, z], dim=1)


def grey(*levels: float) -> Tensor:
    return torch.tensor(levels)[:, None, None, None].expand(-1, 1, 4, 4).clone()


def test_distance_is_how_far_every_pixel_must_move() -> None:
    levels = (0.1, 0.45, 0.52, 0.95)
    found = boundary_distances(Brightness(10.0), grey(*levels), first=0.1)
    for level, distance in zip(levels, found.tolist(), strict=True):
        exact = abs(level - 0.5)
        assert exact - 1e-6 <= distance <= exact + 0.02


def test_an_image_that_no_perturbation_changes_is_at_the_largest_distance() -> None:
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x.sum(dim=(1, 2, 3)) * 0, x.sum(dim=(1, 2, 3)) * 0 + 1], dim=1)

    assert boundary_distances(Constant(), grey(0.2, 0.8), first=0.1).tolist() == [1.0, 1.0]


def test_portrait_of_four_images_by_hand() -> None:
    seen = portray(Brightness(10.0), grey(0.4, 0.45, 0.48, 0.7), eps=0.06)
    probabilities = [1 / (1 + math.exp(-20 * abs(level - 0.5))) for level in (0.4, 0.45, 0.48, 0.7)]
    entropies = [-p * math.log(p) - (1 - p) * math.log(1 - p) for p in probabilities]
    assert seen.images == 4
    assert seen.entropy == pytest.approx(sum(entropies) / 4, rel=1e-4)
    assert seen.confidence == pytest.approx(sum(probabilities) / 4, rel=1e-4)
    assert seen.inside == 0.5  # those at 0.02 and 0.05
    assert seen.spread == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25), rel=1e-5)
    assert seen.largest == 0.75
