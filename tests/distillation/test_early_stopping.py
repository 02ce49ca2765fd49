"""An attack's path left early, on an affine network whose boundary is a known number of steps away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

from dfrd_bench.distillation.early_stopping import Stopped, StoppedAttack, _Path
from dfrd_bench.distillation.inner_attack import InnerAttack
from dfrd_bench.distillation.lessons import Batch
from dfrd_bench.problem import Precision, ThreatModel

EPS, STEP = 0.2, 0.05
MARGINS = np.array([-0.1, 0.02, 0.07, 0.12, 0.17, 0.3])  # ahead of the boundary at 0.5
FIRST = np.array([0, 1, 2, 3, 4, 99])  # iterate that is classified wrongly; the last never is, ε being four steps


class Affine(nn.Module):
    """Two classes of images with one pixel: class 1 from the pixel value 0.5 on."""

    def forward(self, x: Tensor) -> Tensor:
        score = 20 * (x.flatten(1)[:, 0] - 0.5)
        return torch.stack([-score, score], dim=1) / 2


def stopped(
    monkeypatch: pytest.MonkeyPatch, *, beyond: int = 1, steps: int = 10, margins: np.ndarray = MARGINS
) -> Stopped:
    monkeypatch.setattr(torch, "randn", lambda *size, **_: torch.zeros(*size))
    problem = replace(tiny.problem(), threat=ThreatModel(eps=EPS, step=STEP), precision=Precision(channels_last=False))
    attack = InnerAttack(problem=problem, away="label", steps=steps)
    x = torch.tensor(0.5 + margins, dtype=torch.float32)[:, None, None, None]
    batch = Batch(x, torch.ones(len(x), dtype=torch.long))
    return StoppedAttack(attack, beyond)(Affine(), batch, torch.Generator())


def pixels(x: Tensor) -> np.ndarray:
    return x[:, 0, 0, 0].double().numpy() - 0.5


def test_inside_is_one_step_before_the_boundary_or_the_start_of_what_is_wrong_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = pixels(stopped(monkeypatch).inside)
    steps = np.array([0, 0, 1, 2, 3, 4])  # the last ends at the ball's surface
    np.testing.assert_allclose(found, MARGINS - STEP * steps, atol=1e-6)
    assert (found[1:] > 0).all()


@pytest.mark.parametrize("beyond", [0, 1, 2])
def test_outside_is_so_many_steps_after_the_first_across_within_the_ball(
    monkeypatch: pytest.MonkeyPatch, beyond: int
) -> None:
    found = pixels(stopped(monkeypatch, beyond=beyond).outside)
    np.testing.assert_allclose(found, MARGINS - STEP * np.minimum(FIRST + beyond, 4), atol=1e-6)
    assert (found[:-1] < 0).all()


def test_an_image_across_only_after_the_last_step_is_not_taken_for_one_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    found = stopped(monkeypatch, steps=1, margins=np.array([0.02, 0.3]))
    np.testing.assert_allclose(pixels(found.inside), [0.02, 0.25], atol=1e-6)
    np.testing.assert_allclose(pixels(found.outside), [-0.03, 0.25], atol=1e-6)


def test_one_that_comes_back_is_left_where_it_is_wrong_again() -> None:
    """Wrong at the second and fourth iterate only: inside is the first, outside the fourth."""
    path = _Path(1)
    for place, right in enumerate((True, False, True, False, True)):
        path(torch.full((1, 1, 1, 1), float(place)), torch.tensor([right]))
    assert (path.inside.item(), path.outside.item()) == (0.0, 3.0)


def test_counts_the_steps_withstood_as_the_attack_does(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stopped(monkeypatch).withstood.tolist() == np.minimum(FIRST, 10).tolist()
