"""Pre-activation wide residual networks (Zagoruyko & Komodakis 2016), with parameters named as in RobustBench."""

from __future__ import annotations

import re
from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from dfrd_bench.students.base import Architecture
from dfrd_bench.students.initialisation import initialise


class PreActBlock(nn.Module):
    """BatchNorm, ReLU, 3x3 convolution, twice, plus a shortcut (a 1x1 convolution where the width changes)."""

    def __init__(self, in_planes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_planes)
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.convShortcut = (  # RobustBench's name
            nn.Conv2d(in_planes, planes, 1, stride, bias=False) if in_planes != planes else nn.Identity()
        )
        self.widens = in_planes != planes

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.bn1(x))
        out: Tensor = self.conv2(F.relu(self.bn2(self.conv1(activated))))
        shortcut: Tensor = self.convShortcut(activated if self.widens else x)
        return out + shortcut


class Stage(nn.Module):
    """A group of blocks of one width; the first may halve the resolution."""

    def __init__(self, blocks: int, in_planes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            *(PreActBlock(in_planes if i == 0 else planes, planes, stride if i == 0 else 1) for i in range(blocks))
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out


class WideResNet(nn.Module):
    """WideResNet-d-k for images [N, C, H, W] in [0, 1], any H and W of at least 4; returns logits [N, num_classes].

    Args:
        depth: d = 6n + 4 layers, n blocks in each of three stages.
        widen_factor: k; the stages are 16k, 32k and 64k channels wide.
        num_classes: number of logits.
        channels: image channels.

    Raises:
        ValueError: depth is not 6n + 4, or widen_factor is not positive.
    """

    def __init__(self, depth: int, widen_factor: int, num_classes: int, channels: int = 3) -> None:
        super().__init__()
        if depth < 10 or (depth - 4) % 6:
            raise ValueError(f"the depth of a WideResNet is 6n + 4 (10, 16, 22, 28, 34 …), not {depth}")
        if widen_factor < 1:
            raise ValueError(f"the widen factor of a WideResNet is at least 1, not {widen_factor}")
        blocks = (depth - 4) // 6
        widths = [16 * widen_factor, 32 * widen_factor, 64 * widen_factor]
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.block1 = Stage(blocks, 16, widths[0], stride=1)
        self.block2 = Stage(blocks, widths[0], widths[1], stride=2)
        self.block3 = Stage(blocks, widths[1], widths[2], stride=2)
        self.bn1 = nn.BatchNorm2d(widths[2])
        self.fc = nn.Linear(widths[2], num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        x = F.relu(self.bn1(x)).mean(dim=(2, 3))  # [N, 64k, H/4, W/4] -> [N, 64k]
        logits: Tensor = self.fc(x)
        return logits


def _any_size(argument: str, channels: int, num_classes: int) -> WideResNet:
    if not argument:
        raise ValueError("its depth and width are missing, as in wrn-16-2 or wrn:16-2")
    match = re.fullmatch(r"(\d+)-(\d+)", argument)
    if not match:
        raise ValueError(f"name depth and width, as in wrn:16-2, not {argument!r}")
    return WideResNet(int(match[1]), int(match[2]), num_classes, channels)


def _sized(depth: int, widen_factor: int) -> Callable[[str, int, int], WideResNet]:
    return lambda _argument, channels, num_classes: WideResNet(depth, widen_factor, num_classes, channels)


wrn = Architecture(
    summary="pre-activation WideResNet of any size: wrn:DEPTH-WIDTH", build=_any_size, takes_argument=True
)
wrn_10_1 = Architecture(summary="pre-activation WideResNet-10-1", build=_sized(10, 1))
wrn_10_2 = Architecture(summary="pre-activation WideResNet-10-2", build=_sized(10, 2))
wrn_16_2 = Architecture(summary="pre-activation WideResNet-16-2", build=_sized(16, 2))
wrn_28_4 = Architecture(summary="pre-activation WideResNet-28-4", build=_sized(28, 4))
wrn_34_10 = Architecture(summary="pre-activation WideResNet-34-10", build=_sized(34, 10))
