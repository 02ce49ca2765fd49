"""What a head is in closed form, and the bottleneck's gradient through it, against autograd through the head itself."""

from __future__ import annotations

import pytest
import tiny
import torch
from torch import Tensor, nn

from dfrd_bench.distillation.bottleneck import by_autograd, compression, compression_slope, in_closed_form
from dfrd_bench.distillation.moments import ChannelMoments, mean_and_variance
from dfrd_bench.distillation.pooled_head import PooledHead, ShiftedMeans
from dfrd_bench.distillation.split import SplitTeacher
from dfrd_bench.students.base import build_network


def split(architecture: str, layer: str = "last") -> tuple[nn.Module, Tensor]:
    model = build_network(architecture, channels=3, num_classes=7, seed=0).eval().requires_grad_(False)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.5, 0.5)  # type: ignore[union-attr]
                module.weight.uniform_(-1, 2)
                module.bias.uniform_(-1, 1)
    parts = SplitTeacher(model, layer)
    with parts.record():
        model(tiny.random_images(6, (3, 32, 32)))
    return parts.head, parts.features


HEADS = [
    ("wrn-10-1", "last", True),
    ("wrn-10-1", "bn1", True),
    ("resnet-18", "last", False),
    ("mobilenet-v2", "last", True),
]


@pytest.mark.parametrize(("architecture", "layer", "rectified"), HEADS)
def test_reads_the_heads_of_the_architectures_here(architecture: str, layer: str, rectified: bool) -> None:
    head, features = split(architecture, layer)
    found = PooledHead.read(head, features)
    assert found is not None
    assert found.rectified is rectified
    noisy = features + torch.randn_like(features)
    torch.testing.assert_close(found(noisy), head(noisy), atol=1e-4, rtol=1e-4)


def test_a_head_that_convolves_or_computes_something_else_is_none() -> None:
    class Squared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, z: Tensor) -> Tensor:
            out: Tensor = self.fc(z.square().mean((2, 3)))
            return out

    features = tiny.random_images(5, (4, 3, 3))
    assert PooledHead.read(Squared(), features) is None
    assert PooledHead.read(lambda z: z.mean((2, 3)), features) is None
    assert PooledHead.read(*split("wrn-10-1", "block2")) is None


@pytest.mark.parametrize(("architecture", "layer", "rectified"), HEADS[:3])
def test_slope_of_the_cross_entropy_is_that_of_autograd(architecture: str, layer: str, rectified: bool) -> None:
    head, features = split(architecture, layer)
    labels = torch.arange(6)
    found = PooledHead.read(head, features)
    assert found is not None
    draws = torch.Generator().manual_seed(2)
    closed, general = in_closed_form(found, features, labels), by_autograd(head, features, labels)
    for size in (0.01, 1.0, 30.0):
        scale = size * torch.rand(features.shape[:2], generator=draws)
        noise = torch.randn(*features.shape[:2], 1, 1, generator=draws)
        torch.testing.assert_close(closed(scale, noise), general(scale, noise), atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize("penalty", ["sum", "half-mean"])
def test_slope_of_the_compression_is_that_of_autograd(penalty: str) -> None:
    variance = torch.rand(5, 4, dtype=torch.float64) + 0.1
    scale = (torch.rand(5, 4, dtype=torch.float64) + 0.1).requires_grad_()
    (expected,) = torch.autograd.grad(compression(variance, scale, penalty).sum(), scale)  # type: ignore[arg-type]
    torch.testing.assert_close(compression_slope(variance, scale.detach(), penalty), expected)  # type: ignore[arg-type]


def test_shifted_means_of_a_rectified_channel_by_brute_force() -> None:
    head = PooledHead(torch.tensor([2.0, -1.0]), torch.tensor([0.5, 0.0]), torch.zeros(3, 2), torch.zeros(3), True)
    z = torch.tensor([[[[1.0, -2.0, 0.0]], [[3.0, -1.0, -1.0]]]])  # u = 2.5, -3.5, 0.5 and -3, 1, 1
    means, slopes = ShiftedMeans(head, z).at(torch.tensor([[1.0, -1.0]]))
    assert means.tolist() == [[pytest.approx((3.5 + 0 + 1.5) / 3), 0.0]]
    assert slopes.tolist() == [[pytest.approx(2 / 3), 0.0]]  # a place exactly at 0 has slope 0, as ReLU has


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_moments_and_the_way_back_through_them_are_torchs(layout: torch.memory_format) -> None:
    draws = torch.Generator().manual_seed(0)
    x = (3 + torch.randn(7, 5, 4, 3, generator=draws)).contiguous(memory_format=layout).requires_grad_()
    weights = torch.randn(2, 5, generator=draws)
    mean, variance = ChannelMoments.apply(x)  # type: ignore[no-untyped-call]
    expected_variance, expected_mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
    torch.testing.assert_close((mean, variance), (expected_mean, expected_variance))
    (got,) = torch.autograd.grad((weights[0] * mean + weights[1] * variance).sum(), x)
    (wanted,) = torch.autograd.grad((weights[0] * expected_mean + weights[1] * expected_variance).sum(), x)
    torch.testing.assert_close(got, wanted)
    unbiased = mean_and_variance(x, (2, 3), correction=1)[1]
    torch.testing.assert_close(unbiased, torch.var(x, dim=(2, 3)))
