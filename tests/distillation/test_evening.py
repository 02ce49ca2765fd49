"""The classes that give way are found, and the network's own biases are what is moved."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from torch import Tensor, nn

from dfrd_bench.distillation.evening import output_bias, robust_shares
from dfrd_bench.distillation.inner_attack import InnerAttack
from dfrd_bench.distillation.lessons import Batch
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.testing import toy_problem

SHAPE, CLASSES = (1, 2, 2), 3


class Brightness(nn.Module):
    """Class 1 where an image's mean is above a half, else class 0: its distance (L∞) to the other is that to a half."""

    def forward(self, x: Tensor) -> Tensor:
        above = 10 * (x.mean(dim=(1, 2, 3)) - 0.5)
        return torch.stack([-above, above, torch.full_like(above, -9.0)], dim=1)


def grey(*means: float) -> Tensor:
    return torch.tensor(means).view(-1, 1, 1, 1).expand(-1, *SHAPE).clone()


def test_a_class_share_is_of_the_images_further_from_the_boundary_than_the_ball_reaches() -> None:
    problem = toy_problem(SHAPE, CLASSES)
    eps = problem.threat.eps
    near, far = 0.5 * eps, min(1.5 * eps, 0.45)
    x = grey(0.5 - near, 0.5 - far, 0.5 - far, 0.5 - far, 0.5 + near, 0.5 + far)
    labels = torch.tensor([0, 0, 0, 0, 1, 1])
    attack = InnerAttack(problem=problem, away="label", steps=10)
    batches = [Batch(x[part], labels[part], None) for part in (slice(0, 3), slice(3, 6))]
    shares = robust_shares(Brightness(), batches, attack, torch.Generator().manual_seed(0))
    assert far > eps
    assert shares.tolist() == pytest.approx([0.75, 0.5, 0.625])  # class 2 has no image: as the mean of the others


def test_the_last_linear_layer_has_the_biases_or_there_are_none() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, CLASSES))
    assert output_bias(network, CLASSES) is cast(nn.Linear, network[-1]).bias
    for other in (nn.Linear(4, CLASSES, bias=False), nn.Linear(4, CLASSES + 1), nn.Conv2d(1, CLASSES, 2)):
        with pytest.raises(DfrdBenchError, match="cannot be evened out"):
            output_bias(other, CLASSES)
