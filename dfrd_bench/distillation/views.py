"""Views of a batch beyond the standard augmentation: jitter, resized crops, zoom and rotation; differentiable, on the device."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F


def uniform(low: float, high: float, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Numbers from U(low, high) on the generator's device."""
    return torch.empty(shape, device=generator.device).uniform_(low, high, generator=generator)


def jitter(images: Tensor, *, limit: float, flip: bool, generator: torch.Generator) -> Tensor:
    """The whole batch rolled by one random offset, what leaves on one side coming back on the other (Yin et al. 2020).

    Args:
        images: [N, C, H, W].
        limit: largest offset each way, as a share of the height and the width, rounded down to pixels.
        flip: also mirror the whole batch left to right with probability 1/2.
        generator: on the images' device.
    """
    device = generator.device
    places = []
    for size in images.shape[2:]:  # nothing waits for the offsets, which are on the device
        most = int(size * limit)
        offset = torch.randint(-most, most + 1, (), generator=generator, device=device)
        places.append((torch.arange(size, device=device) - offset) % size)
    rows, columns = places
    if flip:
        mirrored = torch.rand((), generator=generator, device=device) < 0.5
        columns = torch.where(mirrored, columns.flip(0), columns)
    return images.index_select(2, rows).index_select(3, columns)


def resized_crops(
    images: Tensor,
    *,
    area: tuple[float, float] = (0.25, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    flip: bool,
    generator: torch.Generator,
) -> Tensor:
    """A random box of each image, stretched to the full size (Szegedy et al. 2015): [N, C, H, W] -> [N, C, H, W].

    Args:
        images: any size.
        area: range of the box's area, as a share of the image's.
        ratio: range of the box's width over its height, drawn on a logarithmic scale; a side longer than the image's is cut.
        flip: also mirror each image left to right with probability 1/2.
        generator: on the images' device.
    """
    count, _, height, width = images.shape
    size = uniform(*area, (count,), generator) * height * width
    aspect = uniform(math.log(ratio[0]), math.log(ratio[1]), (count,), generator).exp()
    across = ((size * aspect).sqrt() / width).clamp(max=1)
    down = ((size / aspect).sqrt() / height).clamp(max=1)
    place = uniform(-1, 1, (2, count), generator)
    mirror = _signs(count, generator) if flip else torch.ones_like(across)
    matrices = torch.zeros(count, 2, 3, device=images.device)
    matrices[:, 0, 0], matrices[:, 0, 2] = mirror * across, place[0] * (1 - across)
    matrices[:, 1, 1], matrices[:, 1, 2] = down, place[1] * (1 - down)
    return _transformed(images, matrices, outside="border")


def zoom_and_rotate(
    images: Tensor,
    *,
    crop: tuple[float, float] = (0.95, 1.0),
    degrees: tuple[float, ...] = (-15.0, 0.0, 15.0),
    flip: bool = True,
    generator: torch.Generator,
) -> Tensor:
    """Each image's centre stretched to the full size, flipped and rotated, in one interpolation; black outside.

    Args:
        images: [N, C, H, W].
        crop: range of the centre's height and, drawn independently, of its width, as shares of the image's.
        degrees: rotations (counter-clockwise), each as likely as the others.
        flip: mirror left to right and, independently, top to bottom, each with probability 1/2.
        generator: on the images' device.
    """
    count, _, height, width = images.shape
    kept = uniform(*crop, (2, count), generator)
    if flip:
        kept = kept * torch.stack([_signs(count, generator), _signs(count, generator)])
    choice = torch.randint(len(degrees), (count,), generator=generator, device=generator.device)
    angles = torch.stack([torch.full((), angle, device=generator.device) for angle in degrees])  # copied from nowhere
    angle = angles[choice] * math.pi / 180
    cos, sin = angle.cos(), angle.sin()
    # output position -> input position, in units of half the width and height: rotate in pixels, then scale
    matrices = torch.zeros(count, 2, 3, device=images.device)
    matrices[:, 0, 0], matrices[:, 0, 1] = kept[0] * cos, -kept[0] * sin * height / width
    matrices[:, 1, 0], matrices[:, 1, 1] = kept[1] * sin * width / height, kept[1] * cos
    return _transformed(images, matrices, outside="zeros")


def _signs(count: int, generator: torch.Generator) -> Tensor:
    """−1 or 1, equally likely."""
    return 2.0 * torch.randint(2, (count,), generator=generator, device=generator.device) - 1.0


def _transformed(images: Tensor, matrices: Tensor, *, outside: Literal["border", "zeros"]) -> Tensor:
    """Images seen through affine maps [N, 2, 3] from output to input positions, bilinear; positions in float32 always."""
    with torch.autocast(images.device.type, enabled=False):
        grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
        return F.grid_sample(images.float(), grid, mode="bilinear", padding_mode=outside, align_corners=False)
