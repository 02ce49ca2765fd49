"""Jitter, resized crops, zoom and rotation, against enumeration, linear images and torchvision."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import pytest
import tiny
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as TF

from dfrd_bench.distillation.views import jitter, resized_crops, zoom_and_rotate


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def coordinates(count: int, height: int, width: int) -> Tensor:
    """Images whose first channel is the column and whose second is the row of each pixel's centre, [count, 2, H, W]."""
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([columns, rows]).expand(count, 2, height, width).contiguous()


ALL = [
    partial(jitter, limit=1 / 8, flip=True),
    partial(resized_crops, flip=True),
    partial(zoom_and_rotate, crop=(0.9, 1.0)),
]


@pytest.mark.parametrize("view", ALL)
def test_views_repeat_with_the_generator_and_leave_the_global_state_alone(
    view: Callable[..., Tensor], unmoved_rng: None
) -> None:
    x = tiny.random_images(8, (3, 12, 10))
    assert torch.equal(view(x, generator=rng(3)), view(x, generator=rng(3)))
    assert any(not torch.equal(view(x, generator=rng(3)), view(x, generator=rng(seed))) for seed in range(4, 8))


@pytest.mark.parametrize("view", ALL)
def test_views_pass_gradients_to_the_images(view: Callable[..., Tensor]) -> None:
    x = tiny.random_images(4, (3, 12, 10)).requires_grad_()
    view(x, generator=rng()).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert float(x.grad.abs().sum()) > 0


@pytest.mark.parametrize("flip", [False, True])
def test_jitter_rolls_and_flips_the_batch_as_one(flip: bool) -> None:
    x = tiny.random_images(3, (1, 16, 24))
    possible = [
        rolled.flip(3) if mirrored else rolled
        for down, across in itertools.product(range(-2, 3), range(-3, 4))  # an eighth of 16 and of 24
        for mirrored in ([False, True] if flip else [False])
        for rolled in [x.roll((down, across), (2, 3))]
    ]
    found = set()
    for seed in range(400):
        moved = jitter(x, limit=1 / 8, flip=flip, generator=rng(seed))
        found.update(i for i, candidate in enumerate(possible) if torch.equal(moved, candidate))
        assert any(torch.equal(moved, candidate) for candidate in possible)
    assert len(found) == len(possible)


def test_jitter_of_less_than_a_pixel_does_nothing() -> None:
    x = tiny.random_images(3, (1, 6, 6))
    assert torch.equal(jitter(x, limit=1 / 8, flip=False, generator=rng()), x)


def test_a_crop_of_everything_is_the_image() -> None:
    x = tiny.random_images(5, (3, 8, 11))
    whole = resized_crops(x, area=(1.0, 1.0), ratio=(11 / 8, 11 / 8), flip=False, generator=rng())
    assert torch.allclose(whole, x, atol=1e-5)
    larger = resized_crops(x, area=(4.0, 4.0), ratio=(1.0, 1.0), flip=False, generator=rng())  # both sides are cut
    assert torch.allclose(larger, x, atol=1e-5)


def test_crops_are_boxes_inside_the_image_of_the_asked_area_and_shape() -> None:
    height, width, count = 40, 40, 300
    crops = resized_crops(coordinates(count, height, width), area=(0.25, 0.5), flip=False, generator=rng())
    inner = crops[:, :, 4:-4, 4:-4]  # away from the border, where interpolation of a linear image is exact
    across = (inner[:, 0, 0, 1] - inner[:, 0, 0, 0]).double()  # box width as a share of the image's
    down = (inner[:, 1, 1, 0] - inner[:, 1, 0, 0]).double()
    area, ratio = across * down, across / down
    assert 0.25 - 1e-3 <= area.min() <= 0.27
    assert 0.48 <= area.max() <= 0.5 + 1e-3
    assert 3 / 4 - 1e-3 <= ratio.min() <= 0.78
    assert 1.28 <= ratio.max() <= 4 / 3 + 1e-3
    # linear all over: row and column of the box's corner follow from any inner pixel
    left = inner[:, 0, 0, 0].double() - 4.5 * across
    top = inner[:, 1, 0, 0].double() - 4.5 * down
    for corner, side, size in ((left, across, width), (top, down, height)):
        assert corner.min() >= -1e-3
        assert (corner + side * size).max() <= size + 1e-3
        assert corner.std() > 1  # they are everywhere
    assert torch.allclose(inner[:, 0, 7, 20].double(), left + across * 24.5, atol=1e-3)


def test_crops_of_a_plain_image_are_plain() -> None:
    x = torch.full((16, 1, 8, 8), 0.7)
    assert torch.allclose(resized_crops(x, flip=True, generator=rng()), x)


def test_half_of_the_crops_are_mirrored_when_asked() -> None:
    crops = resized_crops(coordinates(400, 12, 12), flip=True, generator=rng())
    mirrored = (crops[:, 0, 6, 7] < crops[:, 0, 6, 6]).float().mean()
    assert float(mirrored) == pytest.approx(0.5, abs=0.1)
    upright = crops[:, 1, 7, 6] > crops[:, 1, 6, 6]
    assert bool(upright.all())


def test_nothing_to_do_is_the_identity() -> None:
    x = tiny.random_images(5, (3, 8, 11))
    same = zoom_and_rotate(x, crop=(1.0, 1.0), degrees=(0.0,), flip=False, generator=rng())
    assert torch.allclose(same, x, atol=1e-5)


def test_a_quarter_turn_is_counter_clockwise() -> None:
    x = tiny.random_images(5, (3, 9, 9))
    turned = zoom_and_rotate(x, crop=(1.0, 1.0), degrees=(90.0,), flip=False, generator=rng())
    assert torch.allclose(turned, torch.rot90(x, 1, (2, 3)), atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 12, 20)])
@pytest.mark.parametrize("angle", [15.0, -15.0])
def test_rotation_equals_torchvisions(shape: tuple[int, int, int], angle: float) -> None:
    x = tiny.random_images(4, shape)
    ours = zoom_and_rotate(x, crop=(1.0, 1.0), degrees=(angle,), flip=False, generator=rng())
    theirs = TF.rotate(x, angle, interpolation=InterpolationMode.BILINEAR)
    inside = TF.rotate(torch.ones_like(x), angle, interpolation=InterpolationMode.BILINEAR) > 0.999
    assert inside.float().mean() > 0.6
    assert torch.allclose(ours[inside], theirs[inside], atol=1e-3)
    assert float(ours[..., 0, 0].abs().max()) < float(x.max())
    corner = zoom_and_rotate(torch.ones_like(x), crop=(1.0, 1.0), degrees=(angle,), flip=False, generator=rng())
    assert float(corner[..., 0, 0].max()) < 0.6  # black comes in


def test_every_rotation_and_flip_is_as_likely_as_the_others() -> None:
    x = tiny.random_images(1, (1, 6, 6)).expand(1200, 1, 6, 6)
    seen = zoom_and_rotate(x, crop=(1.0, 1.0), degrees=(0.0, 90.0), flip=True, generator=rng())
    possible = [
        flipped.flip(2) if down else flipped
        for across, down, turns in itertools.product((0, 1), (0, 1), (0, 1))
        for turned in [torch.rot90(x[:1], turns, (2, 3))]
        for flipped in [turned.flip(3) if across else turned]
    ]
    counts = [int(torch.isclose(seen, candidate, atol=1e-4).flatten(1).all(1).sum()) for candidate in possible]
    assert sum(counts) == 1200
    assert all(100 < count < 200 for count in counts)  # 150 each, standard deviation 11


def test_zoom_keeps_the_asked_share_of_the_centre() -> None:
    size, count = 40, 300
    zoomed = zoom_and_rotate(
        coordinates(count, size, size), crop=(0.8, 1.0), degrees=(0.0,), flip=False, generator=rng()
    )
    across = (zoomed[:, 0, 20, 21] - zoomed[:, 0, 20, 20]).double()
    down = (zoomed[:, 1, 21, 20] - zoomed[:, 1, 20, 20]).double()
    for share in (across, down):
        assert 0.8 - 1e-3 <= share.min() <= 0.82
        assert 0.98 <= share.max() <= 1 + 1e-3
    assert abs(float(torch.corrcoef(torch.stack([across, down]))[0, 1])) < 0.2  # drawn independently
    middle = (zoomed[:, :, 19, 19] + zoomed[:, :, 20, 20]) / 2
    assert torch.allclose(middle, torch.full_like(middle, size / 2), atol=1e-3)
