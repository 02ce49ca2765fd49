"""Accuracy against ε, for networks of which it is known by hand."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn

from dfrd_bench.attacks.carlini_wagner_l2 import cw_l2
from dfrd_bench.attacks.clean import clean
from dfrd_bench.attacks.projected_gradient import pgd20
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.curve import Curve, accuracy_curve, levels
from dfrd_bench.images import LabelledImages

# four images of one pixel on either side of one half, and how far from it
FAR = {1: (0.03, 0.06, 0.15, 0.45), 0: (0.07, 0.15, 0.15, 0.35)}


class Brighter(nn.Module):
    """Class 1 if the only pixel is brighter than one half."""

    def forward(self, x: Tensor) -> Tensor:
        by = x.flatten(1) - 0.5
        return torch.cat([-by, by], dim=1)


class Hiding(Brighter):
    """The same verdict on images without perturbation, which are whole hundredths; and no gradient."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward((100 * x).round() / 100)


@pytest.fixture
def images() -> LabelledImages:
    pixels = [0.5 + far for far in FAR[1]] + [0.5 - far for far in FAR[0]]
    return LabelledImages(torch.tensor(pixels).view(-1, 1, 1, 1), torch.tensor([1] * 4 + [0] * 4))


def curve(model: nn.Module, images: LabelledImages, attack: Any = pgd20, **more: Any) -> Curve:
    settings: dict[str, Any] = {"num_classes": 2, "eps": 0.2, "device": tiny.CPU, "seed": 0, **more}
    return accuracy_curve("any", attack, model.eval(), images, **settings)


def test_each_point_is_the_share_of_images_farther_from_the_boundary_than_eps(images: LabelledImages) -> None:
    found = curve(Brighter(), images)
    assert [point.eps for point in found.points] == [0, 0.05, 0.1, 0.2, 0.4, 0.8]
    for point in found.points:
        standing = {label: sum(far > point.eps for far in fars) / 4 for label, fars in FAR.items()}
        assert point.average == sum(standing.values()) / 2
        assert point.worst_class == min(standing.values())
    assert found.reaches_zero


def test_an_attack_without_a_gradient_to_follow_does_not_reach_zero(images: LabelledImages) -> None:
    found = curve(Hiding(), images)
    assert found.points[0].average == 1
    assert found.points[-1].eps == 1
    assert found.points[-1].average > 0
    assert not found.reaches_zero


def test_the_runs_own_eps_is_there_even_where_nothing_is_left_before(images: LabelledImages) -> None:
    wrong = LabelledImages(images.images, 1 - images.labels)
    assert [point.eps for point in curve(Brighter(), wrong).points] == [0, 0.05, 0.1, 0.2]


@pytest.mark.parametrize("eps", [0.2, 8 / 255, 0.3, 0.5, 1.0])
def test_eps_grows_by_doubling_from_a_quarter_of_its_own_to_one(eps: float) -> None:
    zero, first, *doubled, one = levels(eps)
    assert (zero, first, one) == (0, eps / 4, 1)
    assert doubled == [eps / 4 * 2**n for n in range(1, len(doubled) + 1)]
    assert eps in (*doubled, one)
    assert (doubled or [first])[-1] < 1 <= 2 * (doubled or [first])[-1]


def test_progress_names_eps_and_ends_with_what_is_left(images: LabelledImages) -> None:
    told: list[tuple[float, int, int, float]] = []
    found = curve(Brighter(), images, on_level=lambda *a: told.append(a))
    assert told == [(point.eps, 8, 8, point.average) for point in found.points]


@pytest.mark.parametrize("attack", [clean, cw_l2], ids=["clean", "cw_l2"])
def test_an_attack_without_a_ball_has_no_curve(images: LabelledImages, attack: Any) -> None:
    with pytest.raises(DfrdBenchError, match="any does not keep within a given ε"):
        curve(Brighter(), images, attack)


class Missing(Brighter):
    """Gives no number for bright images."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).masked_fill(x.flatten(1) > 0.9, float("nan"))


def test_what_the_attack_warns_of_is_handed_on(images: LabelledImages) -> None:
    assert "any: NaN or infinite logits for 1 images, counted as misclassified" in curve(Missing(), images).notes
