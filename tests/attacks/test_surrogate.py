"""A surrogate answers as its network does, to rounding, whatever it could rewrite."""

from __future__ import annotations

import pytest
import tiny
import torch
from torch import Tensor, nn

from dfrd_bench.attacks.folding import FoldedConv2d, FrozenBatchNorm2d
from dfrd_bench.attacks.surrogate import Surrogate, has_bfloat16_units


class Branching(nn.Module):
    """Cannot be traced symbolically: what it does depends on the values."""

    def __init__(self) -> None:
        super().__init__()
        self.net = tiny.wide_resnet(1, 4).eval()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x) if bool(x.mean() > -1) else x
        return out


def norms(model: nn.Module) -> int:
    return sum(type(module) is nn.BatchNorm2d for module in model.modules())


def gradient(model: nn.Module, x: Tensor) -> Tensor:
    variable = x.clone().requires_grad_()
    return torch.autograd.grad(model(variable).square().sum(), variable)[0]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("build", [lambda: tiny.wide_resnet(3, 5), tiny.SmallConv, Branching])
def test_gives_the_logits_and_gradients_of_its_network(build: object, layout: torch.memory_format) -> None:
    model = build().eval()  # type: ignore[operator]
    channels = next(p.shape[1] for p in model.parameters() if p.ndim == 4)
    with torch.no_grad():  # statistics that make folding visible
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.5, 0.5)  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    model.to(memory_format=layout)
    x = tiny.random_images(20, (channels, 8, 8))
    surrogate = Surrogate(model, x[:8])
    with torch.no_grad():
        torch.testing.assert_close(surrogate(x), model(x), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(surrogate(x[:1]), model(x[:1]), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(gradient(surrogate, x), gradient(model, x), atol=1e-3, rtol=1e-3)
    assert gradient(surrogate, x).is_contiguous()


class StraightThrough(nn.Module):
    """Quantises its input, and sends gradients through as if it did not: in one of the two usual ways."""

    def __init__(self, function: bool) -> None:
        super().__init__()
        self.net, self.function = tiny.SmallConv().eval(), function

    def forward(self, x: Tensor) -> Tensor:
        if self.function:
            x = Quantised.apply(x)  # type: ignore[no-untyped-call]
        else:
            with torch.no_grad():
                rounding = (x * 15).round() / 15 - x
            x = x + rounding
        out: Tensor = self.net(x)
        return out


class Quantised(torch.autograd.Function):
    """Rounding with the gradient of doing nothing."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return (x * 15).round() / 15

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient


@pytest.mark.parametrize("function", [False, True])
def test_a_gradient_that_tracing_would_lose_is_kept(function: bool) -> None:
    model, x = StraightThrough(function).eval(), tiny.random_images(8)
    surrogate = Surrogate(model, x)
    assert gradient(model, x).abs().max() > 0
    torch.testing.assert_close(gradient(surrogate, x), gradient(model, x), atol=1e-5, rtol=1e-4)


def test_folds_normalisation_into_convolutions_and_leaves_its_network_alone() -> None:
    model = tiny.wide_resnet(1, 4).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    surrogate = Surrogate(model, tiny.random_images(4), fused=False)
    assert norms(surrogate.queried) == 0
    scales = [layer for layer in surrogate.queried.modules() if isinstance(layer, FrozenBatchNorm2d)]
    assert 0 < len(scales) < norms(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(p.requires_grad for p in model.parameters())


def test_a_network_it_cannot_rewrite_is_asked_itself() -> None:
    model = Branching().eval()
    assert norms(Surrogate(model, tiny.random_images(4)).queried) == norms(model)


@pytest.mark.parametrize("affine", [True, False])
def test_gradients_pass_no_normalisation_and_no_strided_pointwise_convolution(affine: bool) -> None:
    model = nn.Sequential(
        nn.BatchNorm2d(3, affine=affine),
        nn.ReLU(),
        nn.Conv2d(3, 6, 1, stride=(2, 3), groups=3),
        nn.Conv2d(6, 8, 1, stride=2, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    model(5 + 3 * torch.randn(32, 3, 9, 7))
    model.eval()
    x = tiny.random_images(4, (3, 9, 7))
    surrogate = Surrogate(model, x)
    layers = list(surrogate.differentiable.modules())
    assert [m.subsample for m in layers if isinstance(m, FoldedConv2d)] == [(2, 3)]
    assert [m.stride for m in layers if isinstance(m, nn.Conv2d)] == [
        (2, 2)
    ]  # it pads: it has other pixels at its edge
    assert norms(surrogate.differentiable) == 0 < norms(model)
    torch.testing.assert_close(gradient(surrogate, x), gradient(model, x), rtol=1e-4, atol=1e-6)


def test_counts_its_calls_and_reduced_logits_are_near_and_float32() -> None:
    model, calls = tiny.wide_resnet(1, 4).eval(), []
    x = tiny.random_images(6)
    reduced = Surrogate(model, x, reduced=True, on_call=lambda: calls.append(1))
    logits, exact = reduced(x.clone().requires_grad_()).detach(), model(x).detach()
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, exact)
    assert (logits - exact).abs().max() < 0.05 * exact.abs().max()
    assert len(calls) == 1


def test_knows_whether_its_network_answers_the_same_again() -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1) + torch.randn(len(x), 1)

    x = tiny.random_images(8)
    assert Surrogate(tiny.SmallConv().eval(), x).deterministic
    with torch.random.fork_rng():
        assert not Surrogate(Noisy().eval(), x).deterministic


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_a_gpu_has_bfloat16_units_from_ampere_on(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert has_bfloat16_units(torch.device("cuda")) is expected


@pytest.mark.parametrize("instructions", ["_is_amx_tile_supported", "_is_avx512_bf16_supported", None])
def test_a_cpu_has_bfloat16_units_with_either_set_of_instructions(
    monkeypatch: pytest.MonkeyPatch, instructions: str | None
) -> None:
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda name=name: name == instructions, raising=False)
    assert has_bfloat16_units(tiny.CPU) is (instructions is not None)
    assert not has_bfloat16_units(torch.device("mps"))
