"""The narrow residual networks of He et al. 2016 (section 4.2) for CIFAR: depth 6n + 2, widths 16 to 64, option A."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from dfrd_bench.students.base import Architecture
from dfrd_bench.students.initialisation import initialise
from dfrd_bench.students.resnet import stage

WIDTHS = (16, 32, 64)


class PlainShortcutBlock(nn.Module):
    """3x3 convolution and BatchNorm, twice, plus a shortcut without parameters, then ReLU.

    Where the shape changes the shortcut takes every second pixel and pads with channels of zeros, as many on either side
    (option A).
    """

    def __init__(self, in_planes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_planes, planes, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.stride = stride
        self.missing = planes - in_planes

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        before = self.missing // 2
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, self.missing - before))
        return F.relu(out + shortcut)


class CifarResNet(nn.Module):
    """A ResNet of depth 6n + 2 for images [N, C, H, W] in [0, 1], any H and W; returns logits [N, num_classes].

    Args:
        blocks: n, blocks in each of the three stages; 9 is ResNet-56.
        num_classes: number of logits.
        channels: image channels.
    """

    def __init__(self, blocks: int, num_classes: int, channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.layer1 = stage(PlainShortcutBlock, blocks, WIDTHS[0], WIDTHS[0], stride=1)
        self.layer2 = stage(PlainShortcutBlock, blocks, WIDTHS[0], WIDTHS[1], stride=2)
        self.layer3 = stage(PlainShortcutBlock, blocks, WIDTHS[1], WIDTHS[2], stride=2)
        self.linear = nn.Linear(WIDTHS[2], num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        logits: Tensor = self.linear(self.layer3(self.layer2(self.layer1(x))).mean(dim=(2, 3)))
        return logits


resnet_56 = Architecture(
    summary="ResNet-56 for CIFAR: 0.85 M parameters, shortcuts without any (option A)",
    build=lambda _argument, channels, num_classes: CifarResNet(9, num_classes, channels),
)
