"""The information bottleneck: its two terms by hand, and which channels it finds not robust."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from dfrd_bench.distillation.bottleneck import Bottleneck, Noise, channel_variance, compression


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class TestCompression:
    variance = torch.tensor([[1.0, 4.0], [2.0, 0.5]])
    scale = torch.tensor([[2.0, 1.0], [1.0, 1.0]])
    per_channel = (
        (1 / 4 + math.log(4) - 1, 4 - math.log(4) - 1),
        (2 - math.log(2) - 1, 0.5 + math.log(2) - 1),
    )

    def test_by_hand(self) -> None:
        expected = [sum(row) for row in self.per_channel]
        assert compression(self.variance, self.scale).tolist() == pytest.approx(expected)

    def test_released_form_is_halved_and_averaged(self) -> None:
        expected = [sum(row) / 4 for row in self.per_channel]
        assert compression(self.variance, self.scale, "half-mean").tolist() == pytest.approx(expected)

    def test_is_zero_and_least_where_the_noise_has_the_channels_variance(self) -> None:
        variance = torch.tensor([[0.3, 1.0, 7.0]])
        assert compression(variance, variance.sqrt()).item() == pytest.approx(0, abs=1e-6)
        for factor in (0.5, 0.9, 1.1, 2.0):
            assert compression(variance, factor * variance.sqrt()).item() > 0.01

    def test_is_twice_the_kl_between_gaussians(self) -> None:
        def normal(scale: float) -> torch.distributions.Normal:
            return torch.distributions.Normal(0.0, scale)

        expected = 2 * torch.distributions.kl_divergence(normal(1.5), normal(0.7)).item()
        assert compression(torch.tensor([[1.5**2]]), torch.tensor([[0.7]])).item() == pytest.approx(expected, rel=1e-5)

    def test_of_a_constant_channel_stays_finite(self) -> None:
        scale = torch.tensor([[0.0, 1.0]], requires_grad=True)
        compression(torch.zeros(1, 2), scale).sum().backward()
        assert scale.grad is not None
        assert torch.isfinite(scale.grad).all()


def test_channel_variance_is_biased_and_per_image() -> None:
    features = torch.tensor([[[[1.0, 3.0]], [[0.0, 0.0]]], [[[2.0, 8.0]], [[-1.0, 1.0]]]])
    assert channel_variance(features).tolist() == [[1.0, 0.0], [9.0, 1.0]]
    assert channel_variance(features, "unbiased").tolist() == [[2.0, 0.0], [18.0, 2.0]]


class TestNoise:
    """Behind a mean over positions, noise of its own at every position is averaged away; one draw per channel is not."""

    def scale(self, noise: Noise, positions: int) -> float:
        features = torch.randn(16, 3, positions, positions, generator=generator(1))
        weight = 5 * torch.randn(4, 3, generator=generator(2))
        labels = (features.mean((2, 3)) @ weight.T).argmax(1)
        bottleneck = Bottleneck(noise=noise, steps=200)
        found = bottleneck.noise_scale(lambda z: z.mean((2, 3)) @ weight.T, features, labels, generator())
        return float(found.mean())

    def test_is_borne_the_better_the_more_positions_it_is_averaged_over(self) -> None:
        assert self.scale("position", 8) > 1.5 * self.scale("channel", 8)

    @pytest.mark.parametrize(("noise", "draws"), [("channel", 1), ("position", 20)])
    def test_is_drawn_once_per_channel_or_once_per_position(self, noise: Noise, draws: int) -> None:
        seen: list[Tensor] = []

        def head(z: Tensor) -> Tensor:
            seen.append(z.detach())
            return z.mean((2, 3))

        Bottleneck(noise=noise, steps=1).noise_scale(head, torch.ones(2, 3, 4, 5), torch.tensor([0, 1]), generator())
        assert [len(channel.unique()) for channel in seen[0].flatten(0, 1)] == 6 * [draws]


class TestNoiseScale:
    features = 2 * torch.randn(6, 4, 3, 3, generator=generator(1)) + torch.arange(4.0)[None, :, None, None]

    @pytest.mark.parametrize("used", [0, 1, 2, 3])
    def test_the_only_channel_the_prediction_needs_gets_much_less_noise(self, used: int) -> None:
        weight = torch.zeros(2, 4)
        weight[0, used], weight[1, used] = 50.0, -50.0

        def head(z: Tensor) -> Tensor:
            return z.mean((2, 3)) @ weight.T

        features = 2 * torch.randn(6, 4, 3, 3, generator=generator(1))
        features += 0.2 - features.mean((2, 3), keepdim=True)  # one small margin for every image and channel
        bottleneck = Bottleneck(beta=0.05, steps=200)
        scale = bottleneck.noise_scale(head, features, head(features).argmax(1), generator())
        share = scale / channel_variance(features).sqrt()  # 1: as much noise as the channel varies
        others = [c for c in range(4) if c != used]
        assert share[:, used].mean() < 0.4 * share[:, others].mean()
        assert (share[:, used] < share[:, others].amin(1)).all()

    def test_a_channel_nobody_needs_gets_noise_of_its_own_variance(self) -> None:
        scale = Bottleneck(steps=600).noise_scale(
            lambda z: 0 * z.mean((2, 3))[:, :2], self.features, torch.zeros(6, dtype=torch.int64), generator()
        )
        torch.testing.assert_close(scale, channel_variance(self.features).sqrt(), rtol=0.02, atol=0.02)

    @pytest.mark.parametrize("penalty", ["sum", "half-mean"])
    def test_objective_is_less_than_at_the_start(self, penalty: str) -> None:
        weight = torch.randn(3, 4, generator=generator(2))

        def head(z: Tensor) -> Tensor:
            return z.mean((2, 3)) @ weight.T

        labels = head(self.features).argmax(1)
        bottleneck = Bottleneck(penalty=penalty, beta=0.3)  # type: ignore[arg-type]
        variance = self.features.var((2, 3), correction=0)

        def objective(scale: Tensor) -> float:
            """Written out, with the noise averaged over 200 draws."""
            noise = torch.randn(200, *self.features.shape, generator=generator(5))
            ce = sum(
                F.cross_entropy(head(self.features + scale[:, :, None, None] * e), labels, reduction="sum").item()
                for e in noise
            )
            term = variance / scale**2 + (scale**2 / variance).log() - 1
            reduced = term.sum(1) if penalty == "sum" else term.mean(1) / 2
            return ce / 200 + 0.3 * reduced.sum().item()

        start = torch.full((6, 4), math.log(2))  # softplus(0)
        learned = bottleneck.noise_scale(head, self.features, labels, generator())
        assert objective(learned) < 0.7 * objective(start)

    def test_starts_from_softplus_of_zero(self) -> None:
        scale = Bottleneck(steps=1, lr=1e-9).noise_scale(
            lambda z: z.mean((2, 3)), self.features, torch.zeros(6, dtype=torch.int64), generator()
        )
        torch.testing.assert_close(scale, torch.full((6, 4), math.log(2)))

    def test_is_detached_and_leaves_the_graph_of_the_features_alone(self) -> None:
        features = self.features.clone().requires_grad_()
        scale = Bottleneck(steps=2).noise_scale(
            lambda z: z.mean((2, 3)), features, torch.zeros(6, dtype=torch.int64), generator()
        )
        assert not scale.requires_grad
        assert features.grad is None

    def test_images_are_learned_independently_of_the_batch(self) -> None:
        """Sums, not means, over the batch: twenty copies of the batch do not weaken the prediction term."""
        weight = torch.zeros(2, 4)
        weight[0, 0], weight[1, 0] = 50.0, -50.0

        def head(z: Tensor) -> Tensor:
            return z.mean((2, 3)) @ weight.T

        features = self.features + 0.2 - self.features.mean((2, 3), keepdim=True)
        labels = torch.zeros(6, dtype=torch.int64)
        bottleneck = Bottleneck(beta=0.05, steps=200)
        alone = bottleneck.noise_scale(head, features, labels, generator())
        many = bottleneck.noise_scale(head, features.repeat(20, 1, 1, 1), labels.repeat(20), generator())
        assert many[:, 0].mean().item() == pytest.approx(alone[:, 0].mean().item(), rel=0.15)


class TestNonRobust:
    # variances: image 0 has (1, 0.25), image 1 has (4, 9)
    features = torch.tensor([[[[-1.0, 1.0]], [[-0.5, 0.5]]], [[[-2.0, 2.0]], [[-3.0, 3.0]]]])
    scale = torch.tensor([[0.9, 1.1], [2.9, 3.1]])  # squared: 0.81, 1.21, 8.41, 9.61

    def test_image_ceiling_by_hand(self) -> None:
        mask = Bottleneck(ceiling="image").non_robust(self.scale, self.features)
        assert mask.shape == (2, 2, 1, 1)
        assert mask.flatten(1).tolist() == [[1, 0], [1, 0]]  # ceilings 1 and 9

    def test_batch_ceiling_by_hand(self) -> None:
        mask = Bottleneck(ceiling="batch").non_robust(self.scale, self.features)
        assert mask.flatten(1).tolist() == [[1, 1], [1, 0]]  # ceiling 9 for both

    def test_equality_is_robust(self) -> None:
        mask = Bottleneck().non_robust(torch.tensor([[1.0, 0.5], [3.0, 0.0]]), self.features)
        assert mask.flatten(1).tolist() == [[0, 1], [0, 1]]
