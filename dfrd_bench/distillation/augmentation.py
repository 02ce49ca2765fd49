"""Random crops and mirrored images, drawn image by image on the device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

USUAL_PADDING = 4  # of 32 and 64 pixels alike, in every released code


def usual_padding(height: int) -> int:
    """By how many pixels images of a height are shifted at most where nothing else is said."""
    return min(height // 8, USUAL_PADDING)


def augment(images: Tensor, *, padding: int | None, flip: bool, generator: torch.Generator) -> Tensor:
    """The standard augmentation of small images (He et al. 2016, section 4.2), every image with draws of its own.

    Args:
        images: [N, C, H, W] of any type; black is 0.
        padding: each image is padded with this many black pixels on every side and cropped back to H x W at a uniformly
            random place, that is, shifted by up to `padding` pixels each way. None: `USUAL_PADDING`, on images below 32
            pixels an eighth of the height.
        flip: also mirror each image left to right with probability 1/2.
        generator: on the images' device; the same state gives the same result.

    Returns:
        New images [N, C, H, W].

    Raises:
        ValueError: padding is negative.
    """
    if padding is None:
        padding = usual_padding(images.shape[2])
    if padding < 0:
        raise ValueError(f"padding must be 0 or more, got {padding}")
    count, _, height, width = images.shape
    device = images.device
    rows = torch.arange(height, device=device).expand(count, height)
    columns = torch.arange(width, device=device).expand(count, width)
    if flip:
        mirrored = torch.rand(count, 1, generator=generator, device=device) < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    if padding:
        corner = torch.randint(2 * padding + 1, (2, count, 1), generator=generator, device=device)
        rows, columns = rows + corner[0], columns + corner[1]
        images = F.pad(images, (padding,) * 4)
    image = torch.arange(count, device=device)[:, None, None]
    # advanced indices on both sides of the slice put C last: [N, H, W, C] -> [N, C, H, W]
    return images[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
