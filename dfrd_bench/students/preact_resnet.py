"""Pre-activation residual networks (He et al. 2016, Identity Mappings), with parameters named as in RobustBench."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from dfrd_bench.students.base import Architecture
from dfrd_bench.students.initialisation import initialise
from dfrd_bench.students.resnet import WIDTHS, stage


class PreActBlock(nn.Module):
    """BatchNorm, ReLU, 3x3 convolution, twice; the shortcut is a 1x1 convolution of the activated input if the shape changes."""

    def __init__(self, in_planes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_planes)
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.projects = stride != 1 or in_planes != planes
        if self.projects:
            self.shortcut = nn.Sequential(nn.Conv2d(in_planes, planes, 1, stride, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.bn1(x))
        out: Tensor = self.conv2(F.relu(self.bn2(self.conv1(activated))))
        shortcut: Tensor = self.shortcut(activated) if self.projects else x
        return out + shortcut


class PreActResNet(nn.Module):
    """A pre-activation ResNet for images [N, C, H, W] in [0, 1], any H and W; returns logits [N, num_classes].

    The last stage is followed by BatchNorm and ReLU, as in the paper (RobustBench's `bn_before_fc`; some codes leave them out).

    Args:
        blocks: blocks in each of the four stages; (2, 2, 2, 2) is PreActResNet-18.
        num_classes: number of logits.
        channels: image channels.
    """

    def __init__(self, blocks: Sequence[int], num_classes: int, channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        self.layer1 = stage(PreActBlock, blocks[0], 64, WIDTHS[0], stride=1)
        self.layer2 = stage(PreActBlock, blocks[1], WIDTHS[0], WIDTHS[1], stride=2)
        self.layer3 = stage(PreActBlock, blocks[2], WIDTHS[1], WIDTHS[2], stride=2)
        self.layer4 = stage(PreActBlock, blocks[3], WIDTHS[2], WIDTHS[3], stride=2)
        self.bn = nn.BatchNorm2d(WIDTHS[3])
        self.linear = nn.Linear(WIDTHS[3], num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.conv1(x)))))
        x = F.relu(self.bn(x)).mean(dim=(2, 3))  # [N, 512, H/8, W/8] -> [N, 512]
        logits: Tensor = self.linear(x)
        return logits


preactresnet_18 = Architecture(
    summary="pre-activation ResNet-18 for small images",
    build=lambda _argument, channels, num_classes: PreActResNet((2, 2, 2, 2), num_classes, channels),
)
preactresnet_34 = Architecture(
    summary="pre-activation ResNet-34 for small images",
    build=lambda _argument, channels, num_classes: PreActResNet((3, 4, 6, 3), num_classes, channels),
)
