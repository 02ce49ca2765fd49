"""Random crops and mirrored images against NumPy, and what they draw."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dfrd_bench.distillation.augmentation import augment


class TestAugmentation:
    def test_shifts_are_those_of_numpy(self) -> None:
        images = torch.rand(64, 2, 5, 7, generator=torch.Generator().manual_seed(0))
        made = augment(images, padding=2, flip=False, generator=torch.Generator().manual_seed(3)).numpy()
        corners = torch.randint(5, (2, 64, 1), generator=torch.Generator().manual_seed(3))[..., 0].numpy()
        padded = np.pad(images.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)))
        for i, (top, left) in enumerate(corners.T):
            np.testing.assert_array_equal(made[i], padded[i, :, top : top + 5, left : left + 7])
        assert len({tuple(corner) for corner in corners.T}) > 15  # of 25 places

    def test_mirrors_half_the_images_and_only_when_told(self) -> None:
        images = torch.rand(400, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        same = augment(images, padding=0, flip=False, generator=torch.Generator().manual_seed(0))
        made = augment(images, padding=0, flip=True, generator=torch.Generator().manual_seed(0))
        kept = (made == images).flatten(1).all(1)
        mirrored = (made == images.flip(3)).flatten(1).all(1)
        assert torch.equal(same, images)
        assert (kept ^ mirrored).all()
        assert 150 < mirrored.sum() < 250

    def test_bytes_stay_bytes_and_equal_seeds_agree(self) -> None:
        images = torch.randint(256, (9, 3, 8, 8), dtype=torch.uint8)
        one, two = (augment(images, padding=1, flip=True, generator=torch.Generator().manual_seed(5)) for _ in "ab")
        assert one.dtype == torch.uint8
        assert one.shape == images.shape
        assert torch.equal(one, two)

    def test_negative_padding_is_refused(self) -> None:
        with pytest.raises(ValueError, match="padding must be 0 or more"):
            augment(torch.zeros(1, 1, 4, 4), padding=-1, flip=False, generator=torch.Generator())
