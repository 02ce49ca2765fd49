"""Networks that turn latent codes into images, and how they are initialised."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAK = 0.2


class ConvGenerator(nn.Module):
    """Latent codes -> images in [0, 1]: a linear layer, then two doublings of the resolution (DCGAN's shape).

    The generator of the DFKD family (Fang et al. 2019 and after), for any image size: it starts at a quarter of the image,
    rounded up, and crops the surplus.

    Args:
        latent_dim: length of a code.
        shape: (channels, height, width) of the images.
        num_classes: the one-hot label is appended to the code (conditional, g(z, y)); 0 leaves it out (g(z)).
        width: channels of the last hidden layer; the first has twice as many.
    """

    def __init__(self, latent_dim: int, shape: tuple[int, int, int], *, num_classes: int = 0, width: int = 64) -> None:
        super().__init__()
        channels, self.height, self.width_px = shape
        self.latent_dim = latent_dim
        self.num_classes = num_classes
        self.start = (2 * width, math.ceil(self.height / 4), math.ceil(self.width_px / 4))
        self.linear = nn.Linear(latent_dim + num_classes, math.prod(self.start))
        self.bn0 = nn.BatchNorm2d(2 * width)
        self.conv1 = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(2 * width)
        self.conv2 = nn.Conv2d(2 * width, width, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Codes [N, latent_dim] and, for a conditional generator, labels [N] -> images [N, C, H, W]."""
        if self.num_classes:
            if labels is None:
                raise ValueError("a conditional generator needs labels")
            z = torch.cat([z, F.one_hot(labels, self.num_classes).to(z.dtype)], dim=1)
        x = self.bn0(self.linear(z).view(-1, *self.start))
        x = F.leaky_relu(self.bn1(self.conv1(_double(x))), LEAK)
        x = F.leaky_relu(self.bn2(self.conv2(_double(x))), LEAK)
        return torch.sigmoid(self.conv3(x).float())[:, :, : self.height, : self.width_px]


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


@contextmanager
def initialised_from(generator: torch.Generator) -> Iterator[None]:
    """Modules built inside draw their weights from a seed taken from `generator`; the global random state is put back."""
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=[]):  # modules are built on the CPU
        torch.default_generator.manual_seed(seed)
        yield


def initialise_normal(model: nn.Module, std: float = 0.02) -> None:
    """Convolution and linear weights from N(0, std²), BatchNorm scales from N(1, std²), biases 0 (Radford et al. 2016)."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.normal_(module.weight, 0.0, std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, std)
            nn.init.zeros_(module.bias)
