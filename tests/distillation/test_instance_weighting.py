"""GAIRAT's weights against tanh, and where float32 would lose them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dfrd_bench.distillation.instance_weighting import GeometryAware

LABELS = torch.zeros(3, dtype=torch.long)


def test_are_its_tanh_with_a_mean_of_one() -> None:
    """Λ = −1: ½(1 + tanh 4), ½(1 + tanh −1), ½(1 + tanh −6) for images that withstand 0, 5 and all of 10 steps."""
    by_hand = np.array([0.999665, 0.119203, 6.1442e-6])
    found = GeometryAware(10, -1.0).of(LABELS, torch.tensor([0.0, 5.0, 10.0]))
    np.testing.assert_allclose(found, by_hand / by_hand.mean(), rtol=1e-4)


@pytest.mark.parametrize("slope", [-2.0, -1.0, 0.0, 3.0])
def test_are_those_of_every_kappa(slope: float) -> None:
    kappa = np.arange(11.0)
    omega = (1 + np.tanh(slope + 5 * (1 - 2 * kappa / 10))) / 2
    found = GeometryAware(10, slope).of(torch.zeros(11, dtype=torch.long), torch.arange(11.0))
    np.testing.assert_allclose(found, omega / omega.mean(), rtol=1e-3)


def test_differ_by_orders_of_magnitude() -> None:
    """As Fair-ARD's paper observes (section 5.1)."""
    found = GeometryAware(10, -1.0).of(LABELS, torch.tensor([0.0, 5.0, 10.0]))
    assert found[0] / found[2] > 1e5


def test_of_a_batch_that_withstands_everything_are_alike_and_finite() -> None:
    found = GeometryAware(10, -100.0).of(LABELS, torch.full((3,), 10.0))
    assert found.tolist() == pytest.approx([1.0] * 3)


def test_are_exactly_one_while_inactive() -> None:
    weighting = GeometryAware(10, -1.0)
    weighting.active = False
    assert weighting.of(LABELS, torch.tensor([0.0, 5.0, 10.0])).tolist() == [1.0] * 3
