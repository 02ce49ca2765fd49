"""The average over epochs by hand, and its state."""

from __future__ import annotations

import pytest
import tiny
import torch
from torch import nn

from dfrd_bench.distillation.weight_averaging import EpochAverage


def network(value: float, seen: int) -> nn.BatchNorm1d:
    layer = nn.BatchNorm1d(1)
    with torch.no_grad():
        layer.weight.fill_(value)
        layer.running_mean.fill_(10 * value)  # type: ignore[union-attr]
        layer.num_batches_tracked.fill_(seen)  # type: ignore[union-attr]
    return layer


def test_is_the_first_and_then_moves_by_the_rest_of_its_decay() -> None:
    average, result = EpochAverage(0.88, tiny.CPU), network(0.0, 0)
    assert not average.weights
    average.update(network(1.0, 5))
    average.copy_to(result)
    assert (result.weight.item(), result.running_mean.item()) == (1.0, 10.0)  # type: ignore[union-attr]
    average.update(network(2.0, 9))
    average.copy_to(result)
    assert result.weight.item() == pytest.approx(0.88 * 1 + 0.12 * 2)
    assert result.running_mean.item() == pytest.approx(11.2)  # type: ignore[union-attr]
    assert result.num_batches_tracked == 9


def test_does_not_follow_the_network_after_it_was_let_in() -> None:
    average, trained = EpochAverage(0.5, tiny.CPU), network(1.0, 1)
    average.update(trained)
    with torch.no_grad():
        trained.weight.fill_(7.0)
    assert average.weights["weight"].item() == 1.0


def test_goes_on_from_its_state_without_changing_that() -> None:
    average, other = EpochAverage(0.88, tiny.CPU), EpochAverage(0.88, tiny.CPU)
    average.update(network(1.0, 1))
    other.load_state_dict(average.state_dict())
    other.update(network(2.0, 2))
    assert other.weights["weight"].item() == pytest.approx(1.12)
    assert average.weights["weight"].item() == 1.0
