"""APGD without wasted steps, against the library's own loop and against everything it asked."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from torch import Tensor, nn

from dfrd_bench.attacks.projected_gradient import margin
from dfrd_bench.attacks.pursuit import Pursuit

EPS = 0.02
STEPS = 20


class Watched(nn.Module):
    """A network, and what it was asked for a gradient."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.seen = net, list[Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad:
            self.seen.append(x.detach().clone())
        logits: Tensor = self.net(x)
        return logits


class Loyal(nn.Module):
    """Takes every image for the class it was told."""

    def __init__(self, label: int) -> None:
        super().__init__()
        self.label = label

    def forward(self, x: Tensor) -> Tensor:
        return torch.eye(10)[torch.full((len(x),), self.label)]


def library_attack(net: nn.Module, targets: int) -> Any:
    settings = {"n_iter": STEPS, "eps": EPS, "norm": "Linf", "seed": 3, "device": tiny.CPU}
    return APGDAttack_targeted(net, n_target_classes=targets, **settings) if targets else APGDAttack(net, **settings)


@pytest.mark.parametrize("targets", [0, 1, 9])
def test_breaks_the_images_that_the_librarys_loop_breaks_with_fewer_questions(
    net: nn.Module, batch: tuple[Tensor, Tensor], targets: int
) -> None:
    (x, y), theirs, ours = (part[:80] for part in batch), Watched(net), Watched(net)
    with torch.random.fork_rng():
        expected = tiny.own_labels(net, library_attack(theirs, targets).perturb(x, y)) == y
        found = Pursuit(library_attack(ours, targets), ours, net, range(1, targets + 1))(x, y)
    assert torch.equal(tiny.own_labels(net, found) == y, expected)
    assert 0 < expected.sum() < len(y)
    assert sum(map(len, ours.seen)) < sum(map(len, theirs.seen))
    assert (found - x).abs().max() <= EPS + 1e-6


@pytest.mark.parametrize("targets", [0, 9])
def test_draws_and_asks_as_the_library_does(net: nn.Module, batch: tuple[Tensor, Tensor], targets: int) -> None:
    (x, y), theirs, ours, drawn = (part[:40] for part in batch), Watched(net), Watched(net), list[Tensor]()
    for network, run in [
        (theirs, library_attack(theirs, targets).perturb),
        (ours, Pursuit(library_attack(ours, targets), ours, net, range(1, targets + 1))),
    ]:
        with torch.random.fork_rng():
            torch.manual_seed(len(network.seen) + len(drawn))  # which must not matter
            run(x, y)
            drawn.append(torch.get_rng_state())
    assert torch.equal(*drawn)
    known = {image.numpy().tobytes() for asked in theirs.seen for image in asked}
    assert all(image.numpy().tobytes() in known for asked in ours.seen for image in asked)


def test_an_image_that_stands_comes_back_as_the_nearest_that_was_asked_about(
    net: nn.Module, batch: tuple[Tensor, Tensor]
) -> None:
    compared = 0
    for x, y in zip(batch[0][:20].split(1), batch[1][:20].split(1), strict=True):
        watched = Watched(net)
        with torch.random.fork_rng():
            found = Pursuit(library_attack(watched, 2), watched, net, [1, 2])(x, y)
        if tiny.own_labels(net, found) == y == tiny.own_labels(net, x):
            seen = torch.cat([x, *watched.seen])
            least = margin(net(seen), y.expand(len(seen))).min()
            assert margin(net(found), y) == pytest.approx(float(least), abs=1e-5)
            compared += 1
    assert compared >= 3


def test_an_image_is_left_alone_only_when_the_judge_says_so(net: nn.Module, batch: tuple[Tensor, Tensor]) -> None:
    label = int(batch[1].mode().values)
    x = batch[0][(batch[1] == label) & (tiny.own_labels(net, batch[0]) == label)]
    y, watched = torch.full((len(x),), label), Watched(net)
    pursuit = Pursuit(library_attack(watched, 0), watched, Loyal(label))
    with torch.random.fork_rng():
        pursuit(x, y)
    assert [len(asked) for asked in watched.seen] == [len(x)] * (STEPS + 1)
    claimed = torch.stack([tiny.own_labels(net, asked) != label for asked in watched.seen]).any(dim=0)
    assert torch.equal(pursuit.denied, claimed)
    assert claimed.any()
