"""BatchNorm statistics against NumPy, layer by layer."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

from dfrd_bench.distillation.batchnorm import BatchNormStatistics
from dfrd_bench.errors import DfrdBenchError

X = tiny.random_images(9)


class Straight(nn.Module):
    """Convolution, BatchNorm, ReLU, convolution, BatchNorm: short enough to be redone by hand."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv1, self.bn1 = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)
            self.conv2, self.bn2 = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
            for layer in (self.bn1, self.bn2):
                layer.running_mean.normal_()
                layer.running_var.uniform_(0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))


def explicit_distance(model: Straight, x: Tensor) -> float:
    with torch.no_grad():
        first = model.conv1(x)
        second = model.conv2(torch.relu(model.bn1(first)))
    total = 0.0
    for inputs, layer in ((first, model.bn1), (second, model.bn2)):
        means, variances = [], []
        for channel in range(inputs.shape[1]):
            values = inputs[:, channel].numpy().astype(np.float64)
            means.append(values.mean())
            variances.append(((values - values.mean()) ** 2).sum() / values.size)
        total += np.sqrt(((np.array(means) - layer.running_mean.numpy()) ** 2).sum())
        total += np.sqrt(((np.array(variances) - layer.running_var.numpy()) ** 2).sum())
    return float(total)


def test_distance_is_the_sum_over_layers_computed_in_numpy() -> None:
    model = Straight().eval()
    statistics = BatchNormStatistics(model, "test")
    with statistics.record():
        model(X)
    assert statistics.distance().item() == pytest.approx(explicit_distance(model, X), rel=1e-5)


def test_the_last_pass_counts() -> None:
    model = Straight().eval()
    statistics = BatchNormStatistics(model, "test")
    with statistics.record():
        model(tiny.random_images(4, seed=9))
        model(X)
    assert statistics.distance().item() == pytest.approx(explicit_distance(model, X), rel=1e-5)


def test_distance_is_zero_where_statistics_are_the_batchs_own() -> None:
    model = nn.Sequential(nn.BatchNorm2d(1, momentum=1.0)).train()
    model(X)
    model[0].running_var = X.var(correction=0).reshape(1)  # PyTorch stores the unbiased variance
    statistics = BatchNormStatistics(model.eval(), "test")
    with statistics.record():
        model(X)
    assert statistics.distance().item() == pytest.approx(0, abs=1e-6)


def test_gradient_in_the_images_is_that_of_finite_differences() -> None:
    model = Straight().eval()
    x = X.clone().requires_grad_()
    statistics = BatchNormStatistics(model, "test")
    with statistics.record():
        model(x)
    (gradient,) = torch.autograd.grad(statistics.distance(), x)
    model.double()
    for image, row, column in ((0, 0, 0), (3, 4, 4), (8, 7, 2), (5, 1, 6)):
        shift = torch.zeros_like(X, dtype=torch.float64)
        shift[image, 0, row, column] = 1e-4
        slope = (explicit_distance(model, X + shift) - explicit_distance(model, X - shift)) / 2e-4
        assert gradient[image, 0, row, column].item() == pytest.approx(slope, rel=1e-2, abs=1e-5)


@pytest.mark.parametrize("fails", [False, True])
def test_no_hook_stays_on_the_network(fails: bool) -> None:
    model = Straight().eval()
    statistics = BatchNormStatistics(model, "test")
    try:
        with statistics.record():
            model(torch.zeros(1, 7, 2, 2) if fails else X)
    except RuntimeError:
        assert fails
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_recording_leaves_running_statistics_alone() -> None:
    model = Straight().eval()
    before = [model.bn1.running_mean.clone(), model.bn2.running_var.clone()]
    with BatchNormStatistics(model, "test").record():
        model(X)
    assert torch.equal(before[0], model.bn1.running_mean)
    assert torch.equal(before[1], model.bn2.running_var)


@pytest.mark.parametrize("model", [tiny.SmallConv(), nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False))])
def test_a_network_without_running_statistics_is_refused_by_name(model: nn.Module) -> None:
    with pytest.raises(DfrdBenchError, match=f"^ferd's L_bn needs .*{type(model).__name__}"):
        BatchNormStatistics(model, "ferd's L_bn")
