"""A folded network computes what its network does in eval mode, with the weights it has now."""

from __future__ import annotations

import copy

import pytest
import tiny
import torch
from torch import Tensor, nn

from dfrd_bench.attacks.folding import COUNT, Folded, FrozenBatchNorm2d, freeze_norms
from dfrd_bench.attacks.surrogate import StandIns

X = tiny.random_images(12, (3, 8, 8))


def used(model: nn.Module) -> nn.Module:
    """With statistics and weights of its BatchNorm that show."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(3)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor, low, high in (("running_mean", -0.5, 0.5), ("running_var", 0.5, 2), ("weight", -1, 2)):
                    getattr(module, tensor).uniform_(low, high)
    return model.eval()


def gradient(model: nn.Module, x: Tensor) -> Tensor:
    variable = x.clone().requires_grad_()
    return torch.autograd.grad(model(variable).square().sum(), variable)[0]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("padding_mode", ["zeros", "circular"])
def test_a_convolution_and_its_batchnorm_by_hand(bias: bool, padding_mode: str) -> None:
    conv, norm = nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=bias, padding_mode=padding_mode), nn.BatchNorm2d(4)
    model = used(nn.Sequential(conv, norm))
    mean, std = norm.running_mean[:, None, None], (norm.running_var + norm.eps).sqrt()[:, None, None]
    expected = (conv(X) - mean) / std * norm.weight[:, None, None] + norm.bias[:, None, None]
    folded = Folded(model)
    torch.testing.assert_close(folded(X), expected, atol=1e-5, rtol=1e-5)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())


def test_follows_its_network_from_one_refresh_to_the_next() -> None:
    model = used(tiny.wide_resnet(3, 5))
    folded = Folded(model)
    before = folded(X)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    model.train()
    model(X).square().mean().backward()
    optimiser.step()
    model.eval()
    folded.refresh()
    assert (model(X) - before).abs().max() > 0.01
    torch.testing.assert_close(folded(X), model(X), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(gradient(folded, X), gradient(model, X), atol=1e-4, rtol=1e-3)


def test_leaves_its_network_as_it_is_and_gives_no_gradient_to_folded_weights() -> None:
    model = used(tiny.wide_resnet(3, 5))
    before = copy.deepcopy(model.state_dict())
    kinds = [type(module) for module in model.modules()]
    folded = Folded(model)
    folded(X).sum().backward()
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [type(module) for module in model.modules()] == kinds
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    assert "fc.weight" in with_gradient  # shared
    assert not any("bn" in name or name.endswith("layer.0.conv1.weight") for name in with_gradient)  # folded


def test_batchnorm_whose_convolution_is_wanted_elsewhere_stays_apart() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return torch.cat([y, self.norm(y)], dim=1).flatten(1)

    model = used(Shared())
    torch.testing.assert_close(Folded(model)(X), model(X))


def test_counts_as_a_pass_of_its_network() -> None:
    model = tiny.wide_resnet(3, 5).eval()
    seen: list[int] = []
    vars(model)[COUNT] = lambda logits: seen.append(len(logits))
    Folded(model)(X)
    assert seen == [12]


def test_frozen_norms_give_the_same_network() -> None:
    model = used(tiny.wide_resnet(3, 5))
    frozen = freeze_norms(copy.deepcopy(model))
    assert sum(isinstance(layer, FrozenBatchNorm2d) for layer in frozen.modules()) == 7
    assert frozen.state_dict().keys() == model.state_dict().keys()
    torch.testing.assert_close(frozen(X), model(X), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(gradient(frozen, X), gradient(model, X), atol=1e-4, rtol=1e-3)
    assert torch.equal(frozen.train()(X), model.train()(X))


class TestStandIns:
    def test_a_network_is_folded_once_and_followed(self) -> None:
        model, stand_ins = used(tiny.wide_resnet(3, 5)), StandIns()
        first = stand_ins.of(model, X)
        with torch.no_grad():
            model.fc.bias.add_(1)
            model.block1.layer[0].bn2.running_mean.add_(1)
        second = stand_ins.of(model, X)
        assert first is second is not model
        torch.testing.assert_close(second(X), model(X), atol=1e-5, rtol=1e-4)

    def test_a_network_that_cannot_be_folded_is_asked_itself(self) -> None:
        class Branching(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.net = tiny.wide_resnet(3, 5)

            def forward(self, x: Tensor) -> Tensor:
                out: Tensor = self.net(x) if bool(x.mean() > -1) else x
                return out

        model = Branching().eval()
        assert StandIns().of(model, X) is model

    def test_a_gradient_that_folding_would_lose_is_kept(self) -> None:
        class StraightThrough(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.net = tiny.wide_resnet(3, 5)

            def forward(self, x: Tensor) -> Tensor:
                with torch.no_grad():
                    rounding = (x * 15).round() / 15 - x
                out: Tensor = self.net(x + rounding)
                return out

        model = StraightThrough().eval()
        stand_in = StandIns().of(model, X)
        torch.testing.assert_close(gradient(stand_in, X), gradient(model, X), atol=1e-5, rtol=1e-4)


def test_under_autocast_weights_are_cast_once_and_follow_a_refresh() -> None:
    torch.manual_seed(0)
    network = tiny.wide_resnet(channels=3)
    folded = Folded(network, cast_once=True)
    x = tiny.random_images(4, (3, 8, 8))
    with torch.no_grad():
        for _ in range(2):
            with torch.autocast("cpu", torch.bfloat16):
                found, expected = folded(x).float(), network(x).float()
            assert (found - expected).abs().max() < 0.05 * expected.abs().max()
            for parameter in network.parameters():
                parameter.mul_(1.1)
            folded.refresh()


def test_casting_once_gives_what_autocast_gives_bit_for_bit() -> None:
    network = tiny.wide_resnet(channels=3)
    x = tiny.random_images(4, (3, 8, 8))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(Folded(network, cast_once=True)(x), Folded(network)(x))
