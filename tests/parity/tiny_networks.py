"""Networks of a few hundred weights, which the authors' code was run with too, and how their weights are stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrd_bench.distillation.synthesis import Canvas, PoolDistiller, SynthesizeThenDistill
from dfrd_bench.problem import DatasetInfo, Precision, Problem, ThreatModel

HERE = Path(__file__).parent
OURS_ALONE = ("conv1.bias", "conv2.bias")
"""Of our generator: the authors' has none before a BatchNorm, where it has no effect."""


class TinyNet(nn.Module):
    """Two convolutions with BatchNorm, the mean over positions, a linear layer: [N, C, H, W] -> [N, K]."""

    def __init__(self, channels: int = 3, classes: int = 4, width: int = 4) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width + 2, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width + 2)
        self.fc = nn.Linear(width + 2, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        logits: Tensor = self.fc(x.mean(dim=(2, 3)))
        return logits


class TinyGenerator(nn.Module):
    """Codes -> images of 8x8 pixels, not limited to [0, 1]: a linear layer and BatchNorm, [N, D] -> [N, 3, 8, 8]."""

    def __init__(self, latent_dim: int = 5) -> None:
        super().__init__()
        self.linear = nn.Linear(latent_dim, 3 * 8 * 8)
        self.bn = nn.BatchNorm2d(3)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        images: Tensor = self.bn(self.linear(z).view(-1, 3, 8, 8))
        return images


def stored(name: str) -> dict[str, Tensor]:
    """The arrays of NAME.npz beside this file, as tensors."""
    with np.load(HERE / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def fill(model: nn.Module, values: Tensor) -> None:
    """Load all weights and BatchNorm statistics of a network from one vector, in the order of its state."""
    with torch.no_grad():
        state = [(n, t) for n, t in model.state_dict(keep_vars=True).items() if t.is_floating_point()]
        used = 0
        for name, tensor in state:
            if name in OURS_ALONE:
                tensor.zero_()
            else:
                tensor.copy_(values[used : used + tensor.numel()].view_as(tensor))
                used += tensor.numel()
    assert used == len(values)


def weights(model: nn.Module) -> Tensor:
    """All weights of a network as one vector, without the biases that have no effect."""
    return _vector(p.detach() for name, p in model.named_parameters() if name not in OURS_ALONE)


def gradients(model: nn.Module) -> Tensor:
    """The gradients of all weights as one vector, without those of the biases that have no effect."""
    kept = [p.grad for name, p in model.named_parameters() if name not in OURS_ALONE]
    return _vector(g for g in kept if g is not None)


def _vector(tensors: Iterator[Tensor]) -> Tensor:
    return torch.cat([t.flatten() for t in tensors])


def problem(arrays: Mapping[str, Tensor], *, channels: int = 3, classes: int = 4, size: int = 8) -> Problem:
    """The stored teacher and student, for square images that are not mirrored."""
    teacher, student = TinyNet(channels, classes), TinyNet(channels, classes)
    fill(teacher, arrays["teacher"])
    fill(student, arrays["student"])
    return Problem(
        teacher=teacher.eval().requires_grad_(False),
        student=student,
        info=DatasetInfo(
            name="tiny", shape=(channels, size, size), class_names=tuple(map(str, range(classes))), mirrored=False
        ),
        threat=ThreatModel(eps=8 / 255, step=2 / 255),
        device=torch.device("cpu"),
        precision=Precision(channels_last=False),
        seed=0,
    )


def with_codes(method: SynthesizeThenDistill, codes: Tensor) -> None:
    """Let the next rounds of synthesis begin at these latent codes."""
    drawn = method.generator_canvas

    def canvas(generator: nn.Module, labels: Tensor) -> Canvas:
        render, groups = drawn(generator, labels)
        with torch.no_grad():
            groups[1]["params"][0].copy_(codes)
        return render, groups

    method.generator_canvas = canvas  # type: ignore[method-assign]


def step_losses(method: PoolDistiller) -> list[float]:
    """A list that the total loss of every step of synthesis will be added to."""
    totals: list[float] = []
    terms_of = method.generator_loss

    def watched(x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        terms = terms_of(x, labels)
        totals.append(float(torch.stack([term.detach() for term in terms.values()]).sum()))
        return terms

    method.generator_loss = watched  # type: ignore[method-assign]
    return totals
