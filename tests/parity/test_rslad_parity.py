"""RSLAD's inner attack and loss against numbers that its released code gave (README.md says which lines)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import pytest
import tiny
import torch
from closed_form import fill, spread
from stored_case import Stored, feed_noise, stored
from torch import Tensor, nn

from dfrd_bench.distillation.adversaries import DivergenceAdversary
from dfrd_bench.distillation.inner_attack import InnerAttack
from dfrd_bench.distillation.lessons import Attacked, Batch
from dfrd_bench.distillation.losses import rslad
from dfrd_bench.distillation.teacher_lessons import RSLADLesson
from dfrd_bench.problem import Precision, Problem, ThreatModel

CLASSES = 5
EPS, STEP = 8 / 255, 2 / 255
INSIDE = spread((4, 3, 6, 6), 21, 0.06, 0.94)
EDGE = (spread((4, 3, 6, 6), 22) >= 0.5).float()
"""Black and white pixels only, where a start can lie outside the image range."""

Attack = Callable[[Tensor, str, int], Tensor]


@pytest.fixture(scope="module")
def theirs() -> Stored:
    return stored("rslad.npz")


@pytest.fixture
def model() -> nn.Module:
    layers = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(6 * 36, CLASSES))
    return fill(layers, seed=5)


@pytest.fixture
def attack(theirs: Stored, model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> Attack:
    """Images, which noise, and a number of steps -> our adversarial images, started with the noise that theirs drew."""
    problem: Problem = replace(tiny.problem(), threat=ThreatModel(eps=EPS, step=STEP), precision=Precision())

    def made(images: Tensor, name: str, steps: int) -> Tensor:
        feed_noise(monkeypatch, theirs[f"{name}_start32"][None])
        adversary = DivergenceAdversary(problem=problem, steps=steps)
        return adversary(model, images, theirs["teacher_logits"], torch.Generator())

    return made


@dataclass
class Unmoved:
    """An attack that leaves images as they are."""

    problem: Problem

    def __call__(self, student: nn.Module, batch: Batch, generator: torch.Generator) -> Attacked:
        return Attacked(batch.x, torch.zeros(len(batch.x)))


class TestInnerAttack:
    """rslad_loss.py:26-59, with the training script's ε = 8/255 and steps of 2/255."""

    @pytest.mark.parametrize(("steps", "key"), [(2, "inside_two_steps"), (10, "inside_adversarial")])
    def test_images_are_theirs(self, steps: int, key: str, theirs: Stored, attack: Attack) -> None:
        assert (attack(INSIDE, "inside", steps) - theirs[key]).abs().max() < 1e-6

    @pytest.mark.parametrize("steps", [2, 10])
    def test_so_are_those_of_the_method_with_data(
        self, steps: int, theirs: Stored, model: nn.Module, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        problem = replace(tiny.problem(), threat=ThreatModel(eps=EPS, step=STEP))
        feed_noise(monkeypatch, theirs["inside_start32"][None])
        batch = Batch(INSIDE, torch.zeros(4, dtype=torch.long), theirs["teacher_logits"])
        found = InnerAttack(problem=problem, away="teacher", steps=steps)(model, batch, torch.Generator()).x
        assert (found - theirs["inside_two_steps" if steps == 2 else "inside_adversarial"]).abs().max() < 1e-6

    def test_ferds_own_attack_on_the_student_is_the_same(self, theirs: Stored, attack: Attack) -> None:
        """FERD's query_sample.py:41-64, the "paper" one, whose uniform-target term is commented out."""
        assert (attack(INSIDE, "inside", 10) - theirs["ferd_adversarial"]).abs().max() < 1e-6

    def test_start_is_projected_first_where_theirs_may_leave_the_image_range(
        self, theirs: Stored, attack: Attack
    ) -> None:
        """Theirs takes its first gradient at x + 0.001·N(0, I) even outside [0, 1], where no image is; ours projects the start.

        So a pixel that goes inwards from 0 or 1 lags by what was cut off, until the ball's surface makes both equal.
        """
        noise = 0.001 * theirs["edge_start32"].float() / 32
        cut = (EDGE + noise) - (EDGE + noise).clamp(0, 1)
        difference = theirs["edge_two_steps"] - attack(EDGE, "edge", 2)
        inwards = ((theirs["edge_two_steps"] - EDGE).abs() > 1.5 * STEP) & (cut != 0)
        assert inwards.float().mean() > 0.1
        assert (difference - cut)[inwards].abs().max() < 1e-6
        assert difference[cut == 0].abs().max() < 1e-6
        assert (theirs["edge_adversarial"] - attack(EDGE, "edge", 10)).abs().max() < 1e-6


class TestLoss:
    """resnet18_rslad_cifar10.py:38-40 and 59-63: 5/6 on adversarial images, averaged over images and classes."""

    @pytest.fixture
    def ours(self, theirs: Stored) -> tuple[Tensor, Tensor, Tensor]:
        clean = theirs["clean_logits"].clone().requires_grad_()
        adversarial = theirs["inside_adversarial_logits"].clone().requires_grad_()
        value = rslad(theirs["teacher_logits"], clean, adversarial, reduction="mean")
        return (value, *torch.autograd.grad(value, (clean, adversarial)))

    def test_gradients_are_theirs(self, theirs: Stored, ours: tuple[Tensor, Tensor, Tensor]) -> None:
        for found, key in zip(ours[1:], ("clean_gradient", "adversarial_gradient"), strict=True):
            assert (found - theirs[key]).abs().max() < 1e-6 * max(1, theirs[key].abs().max().item())
            assert theirs[key].abs().max() > 1e-3

    def test_value_is_theirs_but_for_the_guard_in_their_logarithm(
        self, theirs: Stored, ours: tuple[Tensor, Tensor, Tensor]
    ) -> None:
        """They take log(p + 1e-5) of the teacher's p, which adds 1e-5 at most and no gradient; ours is the KL itself."""
        surplus = theirs["loss"].item() - ours[0].item()
        assert 0 < surplus < 1.1e-5

    def test_the_lessons_per_image_losses_average_to_both(
        self, theirs: Stored, ours: tuple[Tensor, Tensor, Tensor]
    ) -> None:
        """What the method with data learns from, whose terms a weighting may act on."""
        clean = theirs["clean_logits"].clone().requires_grad_()
        adversarial = theirs["inside_adversarial_logits"].clone().requires_grad_()
        asked = iter((adversarial, clean))  # in this order, as theirs
        lesson = RSLADLesson(cast(InnerAttack, Unmoved(tiny.problem())), reduction="mean")
        batch = Batch(INSIDE, torch.zeros(4, dtype=torch.long), theirs["teacher_logits"])
        terms = lesson(lambda x: next(asked), batch, torch.Generator()).terms  # type: ignore[arg-type]
        value = torch.stack([term.mean() for term in terms.values()]).sum()
        found = torch.autograd.grad(value, (clean, adversarial))
        assert value.item() == pytest.approx(ours[0].item(), rel=1e-6)
        for gradient, key in zip(found, ("clean_gradient", "adversarial_gradient"), strict=True):
            assert (gradient - theirs[key]).abs().max() < 1e-6 * max(1, theirs[key].abs().max().item())

    def test_their_cifar_100_script_has_ten_times_that(
        self, theirs: Stored, ours: tuple[Tensor, Tensor, Tensor]
    ) -> None:
        """resnet18_rslad_cifar100.py:61-66, "to keep consistent with CIFAR-10"; here the mean is never multiplied."""
        assert theirs["loss_cifar100"].item() == pytest.approx(10 * theirs["loss"].item(), rel=1e-4)
        assert (theirs["adversarial_gradient_cifar100"] - 10 * ours[2]).abs().max() < 1e-5
