"""MobileNet-V2 (Sandler et al. 2018) with strides for small images, of the size that the papers of this field use."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from dfrd_bench.students.base import Architecture
from dfrd_bench.students.initialisation import initialise

STAGES = (  # expansion, width, blocks, stride: table 2 of the paper, but for the stride of stage 2 (there 2)
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
FEATURES = 1280


class InvertedResidual(nn.Module):
    """1x1 convolution that widens, 3x3 depthwise, 1x1 that narrows, each with BatchNorm; a shortcut where the stride is 1.

    Two things differ from the paper, as in the code that papers of this field build on: where the width changes the shortcut
    is a 1x1 convolution (there: none), and the activation is ReLU (there: ReLU6).
    """

    def __init__(self, in_planes: int, planes: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = expansion * in_planes
        self.conv1 = nn.Conv2d(in_planes, wide, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.conv2 = nn.Conv2d(wide, wide, 3, stride, padding=1, groups=wide, bias=False)
        self.bn2 = nn.BatchNorm2d(wide)
        self.conv3 = nn.Conv2d(wide, planes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes)
        self.adds = stride == 1
        self.shortcut = nn.Sequential()
        if self.adds and in_planes != planes:
            self.shortcut = nn.Sequential(nn.Conv2d(in_planes, planes, 1, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x: Tensor) -> Tensor:
        wide = F.relu(self.bn1(self.conv1(x)))
        wide = F.relu(self.bn2(self.conv2(wide)))
        out: Tensor = self.bn3(self.conv3(wide))
        return out + self.shortcut(x) if self.adds else out


class MobileNetV2(nn.Module):
    """MobileNet-V2 for images [N, C, H, W] in [0, 1], any H and W; returns logits [N, num_classes].

    The first convolution and stage 2 keep the resolution, so that it is halved three times (in `block3`, `block4`, `block6`),
    not five.

    Args:
        num_classes: number of logits.
        channels: image channels.
    """

    def __init__(self, num_classes: int, channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 32, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        in_planes = 32
        for number, (expansion, planes, blocks, stride) in enumerate(STAGES, start=1):
            chain = [InvertedResidual(in_planes, planes, expansion, stride)]
            chain += [InvertedResidual(planes, planes, expansion, 1) for _ in range(blocks - 1)]
            self.add_module(f"block{number}", nn.Sequential(*chain))
            in_planes = planes
        self.conv2 = nn.Conv2d(in_planes, FEATURES, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(FEATURES)
        self.linear = nn.Linear(FEATURES, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        for number in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"block{number}")(x)
        x = F.relu(self.bn2(self.conv2(x))).mean(dim=(2, 3))  # [N, 1280, H/8, W/8] -> [N, 1280]
        logits: Tensor = self.linear(x)
        return logits


mobilenet_v2 = Architecture(
    summary="MobileNet-V2 with strides for small images",
    build=lambda _argument, channels, num_classes: MobileNetV2(num_classes, channels),
)
