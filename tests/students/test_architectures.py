"""The architectures: sizes that papers print, weights of other implementations, shapes, splits, and use by methods."""

from __future__ import annotations

import pytest
import tiny
import torch
import torchvision
from torch import nn

from dfrd_bench.attacks.surrogate import Surrogate
from dfrd_bench.distillation.split import SplitTeacher, feature_layers
from dfrd_bench.students.base import build_network
from dfrd_bench.teachers.robustbench_import import robustbench

NEW = ("mobilenet-v2", "preactresnet-18", "preactresnet-34", "resnet-18", "resnet-34", "resnet-56")
LAYERS = ["layer1", "layer2", "layer3", "layer4"]


def build(name: str, channels: int = 3, num_classes: int = 10) -> nn.Module:
    return build_network(name, channels=channels, num_classes=num_classes, seed=0)


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "count"),
    [("resnet-18", 11_173_962), ("mobilenet-v2", 2_296_922), ("wrn-34-10", 46_160_474)],
)
def test_size_is_what_the_papers_count(name: str, count: int) -> None:
    assert parameters(build(name)) == count


def test_resnet_56_has_the_085_million_of_he_et_al_table_6_and_56_layers() -> None:
    model, plain = build("resnet-56"), 3 * 16 * 9 + 64 * 10 + 10
    assert round(parameters(model) / 1e6, 2) == 0.85
    assert len([m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]) == 56
    widths = (16, 32, 64)
    convolutions = sum(18 * 9 * width * width for width in widths)
    convolutions -= 9 * (32 * (32 - 16) + 64 * (64 - 32))  # each stage's first comes from the narrower one
    assert parameters(model) == plain + convolutions + 2 * (16 + 18 * sum(widths))


def test_its_shortcuts_pass_every_second_pixel_between_channels_of_zeros() -> None:
    block = build("resnet-56").get_submodule("layer2.0").eval()
    for name, value in block.named_parameters():
        if name.endswith(("bn2.weight", "bn2.bias")):
            nn.init.zeros_(value)
    x = tiny.random_images(2, (16, 8, 8))
    with torch.no_grad():
        out = block(x)
    assert torch.equal(out[:, 8:24], x[:, :, ::2, ::2])
    assert out[:, :8].abs().sum() + out[:, 24:].abs().sum() == 0


@pytest.mark.parametrize("depth", [18, 34])
def test_a_resnet_is_torchvisions_but_for_the_first_convolution(depth: int) -> None:
    other = getattr(torchvision.models, f"resnet{depth}")(num_classes=10)
    smaller = 3 * 64 * (7 * 7 - 3 * 3)  # its first convolution is 7x7
    assert parameters(build(f"resnet-{depth}")) == parameters(other) - smaller


@pytest.mark.parametrize(("name", "blocks"), [("preactresnet-18", (2, 2, 2, 2)), ("preactresnet-34", (3, 4, 6, 3))])
def test_size_of_a_preactresnet_by_arithmetic(name: str, blocks: tuple[int, ...]) -> None:
    count, before = 3 * 64 * 9, 64
    for width, n in zip((64, 128, 256, 512), blocks, strict=True):
        for entering in [before] + [width] * (n - 1):
            count += 2 * entering + 9 * entering * width + 2 * width + 9 * width * width
        count += before * width if width != before else 0
        before = width
    count += 2 * 512 + 512 * 10 + 10
    assert parameters(build(name)) == count


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 64)])
def test_takes_small_images_of_any_size_channels_and_classes(name: str, channels: int, size: int) -> None:
    model = build(name, channels, 7).train()
    logits = model(tiny.random_images(2, (channels, size, size)))
    logits.square().sum().backward()
    assert logits.shape == (2, 7)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def halvings(name: str) -> list[int]:
    """The side of the feature map after each place where the network can be split, for 32 pixels."""
    model = build(name).eval()
    sides = []
    for layer in feature_layers(model):
        split = SplitTeacher(model, layer)
        with split.record(), torch.no_grad():
            model(torch.zeros(1, 3, 32, 32))
        sides.append(split.features.shape[-1])
    return sides


def test_resolution_is_halved_three_times() -> None:
    assert halvings("resnet-18") == halvings("preactresnet-18") == [32, 32, 16, 8, 4]
    assert halvings("resnet-56") == [32, 32, 16, 8]
    assert halvings("mobilenet-v2") == [32, 32, 32, 16, 8, 8, 4, 4, 4]


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        *((name, ["conv1", *LAYERS]) for name in ("preactresnet-18", "resnet-18")),
        ("mobilenet-v2", ["conv1", *(f"block{n}" for n in range(1, 8)), "conv2"]),
    ],
)
def test_can_be_split_after_every_block(name: str, blocks: list[str]) -> None:
    model = build(name).eval()
    x = tiny.random_images(2, (3, 16, 16))
    assert feature_layers(model) == blocks
    for layer in blocks:
        split = SplitTeacher(model, layer)
        with split.record(), torch.no_grad():
            logits = model(x)
            torch.testing.assert_close(split.head(split.features), logits, rtol=1e-4, atol=1e-5)


class TestWeightsOfRobustBench:
    """Its own classes load into ours by name, and compute the same."""

    @staticmethod
    def check(name: str, theirs: nn.Module) -> None:
        ours = build(name)
        torch.manual_seed(0)
        theirs.train()(torch.rand(16, 3, 32, 32))  # BatchNorm statistics that are not 0 and 1
        ours.load_state_dict(theirs.state_dict())
        x = tiny.random_images(4, (3, 32, 32))
        with torch.no_grad():
            torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), rtol=1e-4, atol=1e-5)

    def test_resnets(self) -> None:
        zoo = robustbench("model_zoo.architectures.resnet")
        self.check("resnet-18", zoo.ResNet18())
        self.check("resnet-34", zoo.ResNet34())

    def test_preactresnets(self) -> None:
        zoo = robustbench("model_zoo.architectures.resnet")
        for name, blocks in (("preactresnet-18", [2, 2, 2, 2]), ("preactresnet-34", [3, 4, 6, 3])):
            self.check(name, zoo.PreActResNet(zoo.PreActBlockV2, blocks, bn_before_fc=True))

    def test_wide_resnets(self) -> None:
        zoo = robustbench("model_zoo.architectures.wide_resnet")
        self.check("wrn-16-2", zoo.WideResNet(depth=16, widen_factor=2))


def test_mobilenet_is_torchvisions_but_for_its_extra_convolutions() -> None:
    ours, theirs = build("mobilenet-v2"), torchvision.models.mobilenet_v2(num_classes=10)
    shortcuts = sum(a * b + 2 * b for a, b in [(32, 16), (16, 24), (64, 96), (160, 320)])
    first_expansion = 32 * 32 + 2 * 32
    assert parameters(ours) == parameters(theirs) + shortcuts + first_expansion


@pytest.mark.parametrize("name", ["mobilenet-v2", "preactresnet-18", "resnet-18", "resnet-56"])
def test_attacks_ask_a_folded_copy_that_agrees(name: str) -> None:
    model = build(name).train()
    x = tiny.random_images(4, (3, 16, 16))
    with torch.no_grad():
        model(x)
    model.eval()
    surrogate = Surrogate(model, x, fused=False)
    layers = [m for m in surrogate.queried.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(layers) < len([m for m in model.modules() if isinstance(m, nn.BatchNorm2d)])
    torch.testing.assert_close(surrogate(x), model(x).detach(), rtol=1e-3, atol=1e-3)
