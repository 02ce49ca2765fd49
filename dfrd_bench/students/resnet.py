"""Residual networks for small images (He et al. 2016), with parameters named as in RobustBench."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from dfrd_bench.students.base import Architecture
from dfrd_bench.students.initialisation import initialise

WIDTHS = (64, 128, 256, 512)


class BasicBlock(nn.Module):
    """3x3 convolution and BatchNorm, twice, plus a shortcut (a 1x1 convolution where the shape changes), then ReLU."""

    def __init__(self, in_planes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_planes != planes:
            self.shortcut = nn.Sequential(nn.Conv2d(in_planes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


def stage(block: type[nn.Module], blocks: int, in_planes: int, planes: int, stride: int) -> nn.Sequential:
    """Blocks of one width; the first may halve the resolution."""
    return nn.Sequential(
        *(block(in_planes if i == 0 else planes, planes, stride if i == 0 else 1) for i in range(blocks))
    )


class ResNet(nn.Module):
    """A ResNet for images [N, C, H, W] in [0, 1], any H and W; returns logits [N, num_classes].

    Unlike ImageNet's, its first convolution is 3x3 and keeps the resolution, which is halved three times (layers 2 to 4).

    Args:
        blocks: blocks in each of the four stages; (2, 2, 2, 2) is ResNet-18.
        num_classes: number of logits.
        channels: image channels.
    """

    def __init__(self, blocks: Sequence[int], num_classes: int, channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = stage(BasicBlock, blocks[0], 64, WIDTHS[0], stride=1)
        self.layer2 = stage(BasicBlock, blocks[1], WIDTHS[0], WIDTHS[1], stride=2)
        self.layer3 = stage(BasicBlock, blocks[2], WIDTHS[1], WIDTHS[2], stride=2)
        self.layer4 = stage(BasicBlock, blocks[3], WIDTHS[2], WIDTHS[3], stride=2)
        self.linear = nn.Linear(WIDTHS[3], num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean(dim=(2, 3))  # [N, 512, H/8, W/8] -> [N, 512]
        logits: Tensor = self.linear(x)
        return logits


resnet_18 = Architecture(
    summary="ResNet-18 for small images: 3x3 first convolution, no pooling",
    build=lambda _argument, channels, num_classes: ResNet((2, 2, 2, 2), num_classes, channels),
)
resnet_34 = Architecture(
    summary="ResNet-34 for small images: 3x3 first convolution, no pooling",
    build=lambda _argument, channels, num_classes: ResNet((3, 4, 6, 3), num_classes, channels),
)
