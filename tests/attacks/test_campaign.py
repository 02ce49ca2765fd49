"""The loop over stages and batches, with stages that break what they are told to."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dfrd_bench.attacks.campaign import Campaign, Stage
from dfrd_bench.attacks.state import State
from dfrd_bench.images import LabelledImages

IMAGES = 100


class Pixel(nn.Module):
    """Two classes: the first as long as the only pixel is positive, by that much."""

    def forward(self, x: Tensor) -> Tensor:
        value = x.flatten(1)
        return torch.cat([value, torch.zeros_like(value)], dim=1)


class Told:
    """Breaks the images whose pixel it is told, and remembers which it was given, nearest first."""

    def __init__(self, breaks: set[int]) -> None:
        self.breaks, self.given = breaks, list[list[int]]()

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        ranks = [round(float(value) * IMAGES) - 1 for value in x.flatten()]
        self.given.append(ranks)
        told = torch.tensor([rank in self.breaks for rank in ranks])
        return torch.where(told[:, None, None, None], -x, x)


def untouched(batch_size: int) -> State:
    return State(torch.zeros(IMAGES, dtype=torch.long), batch_size, torch.full((IMAGES,), math.inf), [1.0])


def run(stages: list[Stage], state: State, **more: Any) -> State:
    """The state at the end; images in an order that has nothing to do with how near they are."""
    order = torch.randperm(IMAGES, generator=torch.Generator().manual_seed(0))
    pixels = ((order + 1) / IMAGES).view(-1, 1, 1, 1)
    labels = torch.zeros(IMAGES, dtype=torch.long)
    hooks = {"on_state": lambda s: None, "on_progress": lambda *a: None, "on_broken": lambda *a: None, **more}
    Campaign(Pixel().eval(), LabelledImages(pixels, labels), torch.device("cpu"), stages, state, **hooks).run()
    return state


@pytest.mark.parametrize("batch_size", [1, 3, 10, 30])
@pytest.mark.parametrize(
    ("breaks", "tenths"),
    [
        (set(), 1),
        ({0, 4}, 1),  # none in the farther half of the nearest tenth
        ({5}, 2),
        ({9, 18, 22}, 3),
        (set(range(0, 100, 5)), 10),
    ],
)
def test_a_selective_stage_goes_from_the_nearest_on_and_stops_when_the_farther_half_of_a_tenth_stands(
    breaks: set[int], tenths: int, batch_size: int
) -> None:
    told = Told(breaks)
    stages = [Stage("first", Told(set()), 1), Stage("second", told, 1, selective=True)]
    state = run(stages, untouched(batch_size))
    assert [rank for batch in told.given for rank in batch] == list(range(10 * tenths))
    assert max(map(len, told.given)) == min(batch_size, 10)
    assert state.accuracies[-1] == pytest.approx(1 - len(breaks & set(range(10 * tenths))) / IMAGES)
    left = IMAGES - 10 * tenths
    assert state.notes == ([f"second left out {left} images"] if left else [])


def test_any_other_stage_attacks_every_image_that_stands() -> None:
    told = Told({3})
    run([Stage("first", Told({1}), 1), Stage("second", told, 1)], untouched(30))
    assert sorted(rank for batch in told.given for rank in batch) == [rank for rank in range(IMAGES) if rank != 1]
    assert [len(batch) for batch in told.given] == [30, 30, 30, 9]


def test_a_selective_stage_that_was_stopped_goes_on_in_the_same_batches() -> None:
    breaks, states, told = {9, 18, 22}, list[Any](), Told({9, 18, 22})
    stages = [Stage("first", Told(set()), 1), Stage("second", told, 1, selective=True)]
    whole = run(stages, untouched(4), on_state=lambda state: states.append((state.to_arrays(), len(told.given))))
    for arrays, done in states:
        rest = Told(breaks)
        stages = [Stage("first", Told(set()), 1), Stage("second", rest, 1, selective=True)]
        kept = State.from_arrays(arrays, IMAGES, 2)
        assert kept is not None
        again = run(stages, kept)
        assert rest.given == told.given[done:]
        assert torch.equal(again.predictions, whole.predictions)
        assert (again.accuracies, again.notes) == (whole.accuracies, whole.notes)
