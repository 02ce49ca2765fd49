"""A network that remembers answers as the network does that it asks."""

from __future__ import annotations

import pytest
import tiny
import torch
from torch import Tensor, nn

from dfrd_bench.attacks.remembering import STEPS, Remembering, fingerprints


class Counted(nn.Module):
    """A network, and how many images it was asked about."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.images = net, 0

    def forward(self, x: Tensor) -> Tensor:
        self.images += len(x)
        logits: Tensor = self.net(x)
        return logits


@pytest.mark.parametrize("capacity", [12, 20, 1000])
def test_answers_as_its_network_however_little_it_can_remember(net: nn.Module, capacity: int) -> None:
    pool, draws = tiny.random_images(30), torch.Generator().manual_seed(0)
    remembering = Remembering(Counted(net), capacity=capacity)
    with torch.no_grad():
        expected = net(pool)
        for _ in range(60):
            at = torch.randint(30, (int(torch.randint(1, 13, (), generator=draws)),), generator=draws)
            torch.testing.assert_close(remembering(pool[at]), expected[at])
    assert len(remembering.places) <= capacity


def test_asks_about_no_image_twice_but_to_keep_a_batch_in_one_of_few_sizes(net: nn.Module) -> None:
    counted, images = Counted(net), tiny.random_images(64)
    remembering = Remembering(counted)
    with torch.no_grad():
        remembering(images[:32])
        assert counted.images == 32
        remembering(images[:32].flip(0))
        assert counted.images == 32
        remembering(images[31:63])
    assert 32 + 31 <= counted.images <= 32 + 31 + 32 // STEPS


def test_the_caller_may_write_to_the_answers(net: nn.Module) -> None:
    x, remembering = tiny.random_images(4), Remembering(net)
    with torch.no_grad():
        for _ in range(3):
            logits = remembering(x)
            torch.testing.assert_close(logits, net(x))
            logits.fill_(-torch.inf)


def test_images_that_differ_in_one_pixel_have_other_fingerprints() -> None:
    image = tiny.random_images(1, (3, 8, 8))
    for values in (image, torch.zeros_like(image), torch.ones_like(image)):
        alone = torch.eye(values.numel()).view(-1, 3, 8, 8)
        shifted = [values + sign * size * alone for size in (0.5, 8 / 255, 1e-6) for sign in (1, -1)]
        distinct = torch.cat([values, *shifted]).unique(dim=0)
        assert len(fingerprints(distinct).unique()) == len(distinct) > 600
    assert torch.equal(fingerprints(image), fingerprints(image.to(memory_format=torch.channels_last)))
