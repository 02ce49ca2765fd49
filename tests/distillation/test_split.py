"""A teacher cut in two: the head on the features is the whole network, and runs nothing else."""

from __future__ import annotations

import pytest
import tiny
import torch
from torch import Tensor, nn

from dfrd_bench.distillation.bottleneck import Bottleneck, Noise
from dfrd_bench.distillation.split import SplitTeacher, feature_layers
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.students.base import build_network

X = tiny.random_images(5, (3, 8, 8))


@pytest.fixture(scope="module")
def teacher() -> nn.Module:
    """A WideResNet with two blocks per stage."""
    model = build_network("wrn:16-1", channels=3, num_classes=10, seed=0).train()
    with torch.no_grad():
        model(tiny.random_images(64, (3, 8, 8), seed=1))
    return model.eval().requires_grad_(False)


class Branches(nn.Module):
    """What follows `second` also uses the output of `first`."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.fc = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        early = self.first(x)
        return self.fc((self.second(early) + early).mean((2, 3)))


class Decides(Branches):
    """Its path depends on the images, which torch.fx cannot trace."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x))
        return self.fc(x.mean((2, 3))) if x.sum() > 0 else self.fc(-x.mean((2, 3)))


class Repeats(Branches):
    """Runs `second` twice."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.second(self.second(self.first(x))).mean((2, 3)))


class Scales(nn.Module):
    """Its head reads a parameter and a buffer of the network itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 1), nn.Linear(4, 2)
        self.scale = nn.Parameter(torch.tensor(3.0))
        self.register_buffer("shift", torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.fc(self.conv(x).mean((2, 3))) + self.shift


@pytest.mark.parametrize("layer", ["conv1", "block1", "block2", "block3", "block2.layer.0", "block3.layer.1", "last"])
def test_head_on_the_features_is_the_full_pass(teacher: nn.Module, layer: str) -> None:
    split = SplitTeacher(teacher, layer)
    with split.record():
        logits = teacher(X)
    assert split.features.dim() == 4
    torch.testing.assert_close(split.head(split.features), logits, rtol=0, atol=1e-6)
    changed = split.head(split.features + 1)
    assert (changed - logits).abs().max() > 1e-3


def test_features_are_the_layers_output_and_the_last_block_is_block3(teacher: nn.Module) -> None:
    split = SplitTeacher(teacher)
    with split.record():
        teacher(X)
    expected = teacher.block3(teacher.block2(teacher.block1(teacher.conv1(X))))
    assert torch.equal(split.features, expected)
    assert feature_layers(teacher) == ["conv1", "block1", "block2", "block3"]


def test_gradients_flow_through_features_to_the_images(teacher: nn.Module) -> None:
    split = SplitTeacher(teacher, "block2")
    x = X.clone().requires_grad_()
    with split.record():
        logits = teacher(x)
    expected = torch.autograd.grad(logits[:, 0].sum(), x, retain_graph=True)[0]
    torch.testing.assert_close(torch.autograd.grad(split.head(split.features)[:, 0].sum(), x)[0], expected)


def test_no_hook_stays_on_the_teacher(teacher: nn.Module) -> None:
    split = SplitTeacher(teacher)
    with split.record():
        teacher(X)
    assert not any(m._forward_hooks for m in teacher.modules())


@pytest.mark.parametrize(
    ("noise", "heads"), [("channel", 1), ("position", 7)]
)  # once, to see that it is known in closed form
def test_the_bottlenecks_inner_loop_never_runs_the_backbone(teacher: nn.Module, noise: Noise, heads: int) -> None:
    split = SplitTeacher(teacher)
    with split.record():
        teacher(X)
    runs = {"conv1": 0, "block1": 0, "block2": 0, "block3": 0, "fc": 0}

    def counter(name: str) -> None:
        def count(*_: object) -> None:
            runs[name] += 1

        hooks.append(getattr(teacher, name).register_forward_pre_hook(count))

    hooks: list[torch.utils.hooks.RemovableHandle] = []
    for name in runs:
        counter(name)
    bottleneck = Bottleneck(steps=7, noise=noise)
    bottleneck.noise_scale(split.head, split.features, torch.zeros(5, dtype=torch.int64), torch.Generator())
    for hook in hooks:
        hook.remove()
    assert runs == {"conv1": 0, "block1": 0, "block2": 0, "block3": 0, "fc": heads}


def test_a_head_that_reads_parameters_of_the_network_works() -> None:
    model = Scales()
    split = SplitTeacher(model)
    with split.record():
        logits = model(X)
    torch.testing.assert_close(split.head(split.features), logits)


def test_features_before_any_pass_are_refused(teacher: nn.Module) -> None:
    with pytest.raises(ValueError, match="run the teacher inside `record` first"):
        _ = SplitTeacher(teacher).features


def test_a_list_of_blocks_is_split_between_them() -> None:
    class Listed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks, self.fc = nn.ModuleList([nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)]), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            for block in self.blocks:
                x = block(x)
            return self.fc(x.mean((2, 3)))

    model = Listed()
    split = SplitTeacher(model)
    with split.record():
        logits = model(X)
    assert feature_layers(model) == ["blocks.0", "blocks.1"]
    torch.testing.assert_close(split.head(split.features), logits)


@pytest.mark.parametrize("layer", ["block4", "", "layer3"])
def test_an_unknown_layer_is_refused_naming_the_blocks(teacher: nn.Module, layer: str) -> None:
    with pytest.raises(DfrdBenchError, match=r"WideResNet has no layer .* Its blocks: conv1, block1, block2, block3"):
        SplitTeacher(teacher, layer)


@pytest.mark.parametrize(
    ("model", "layer", "message"),
    [
        (Branches(), "second", r"Branches cannot be split at 'second': what follows also uses first from before it"),
        (Decides(), "second", r"Decides cannot be split at 'second': torch\.fx says"),
        (Repeats(), "second", r"Repeats runs 'second' 2 times in a pass"),
        (nn.Linear(3, 2), "last", r"Linear has no convolutional block"),
    ],
    ids=["skip-over-the-cut", "untraceable", "twice", "no-convolution"],
)
def test_a_network_that_cannot_be_split_is_refused_in_one_line(model: nn.Module, layer: str, message: str) -> None:
    with pytest.raises(DfrdBenchError, match=message) as caught:
        SplitTeacher(model, layer)
    assert "\n" not in str(caught.value)


def test_a_network_with_a_skip_can_be_split_before_it() -> None:
    model = Branches()
    split = SplitTeacher(model, "first")
    with split.record():
        logits = model(X)
    torch.testing.assert_close(split.head(split.features), logits)
