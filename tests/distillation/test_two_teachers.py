"""MTARD's lesson against its formula in SciPy, and its balance against a replay in plain Python."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pytest
import tiny
import torch
from scipy.special import softmax
from scipy.stats import entropy
from torch import Tensor, nn

from dfrd_bench.distillation.inner_attack import InnerAttack
from dfrd_bench.distillation.lessons import Attacked, Batch
from dfrd_bench.distillation.two_teachers import LossBalance, MTARDLesson
from dfrd_bench.problem import Precision, Problem

N, K = 6, 4
LABELS = torch.tensor([0, 1, 2, 3, 3, 0])


@dataclass
class Given:
    """An attack that finds these images."""

    problem: Problem
    found: Tensor

    def __call__(self, student: nn.Module, batch: Batch, generator: torch.Generator) -> Attacked:
        return Attacked(self.found, torch.arange(float(N)))


X = tiny.random_images(N)
PROBLEM = replace(tiny.problem(), precision=Precision(channels_last=False))
STUDENT = tiny.SmallConv(num_classes=K, seed=1)
NATURAL = tiny.SmallConv(num_classes=K, seed=2)


def terms(natural: nn.Module | None, found: Tensor, **options: str) -> dict[str, Tensor]:
    attack = cast(InnerAttack, Given(PROBLEM, found))
    lesson = MTARDLesson(attack, natural, **options)  # type: ignore[arg-type]
    return lesson(STUDENT, Batch(X, LABELS), torch.Generator()).terms


def divergence(teacher: nn.Module, asked: Tensor, answered: Tensor) -> np.ndarray:
    """KL of a teacher's prediction of some images to the student's of others, image by image."""
    with torch.no_grad():
        p, q = teacher(asked).double().numpy(), STUDENT(answered).double().numpy()
    value: np.ndarray = entropy(softmax(p, axis=1), softmax(q, axis=1), axis=1)
    return value


@pytest.mark.parametrize(("reduction", "share"), [("batchmean", 1), ("mean", K)])
def test_each_teacher_is_asked_about_its_own_kind_of_image(reduction: str, share: int) -> None:
    found = terms(NATURAL, 1 - X, reduction=reduction)
    expected = {"adversarial": divergence(PROBLEM.teacher, 1 - X, 1 - X), "natural": divergence(NATURAL, X, X)}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name].detach().numpy(), value / share, rtol=1e-3, atol=1e-6)


def test_without_a_natural_teacher_the_clean_image_has_the_adversarial_ones_target() -> None:
    found = terms(None, 1 - X)["natural"].detach().numpy()
    np.testing.assert_allclose(found, divergence(PROBLEM.teacher, 1 - X, X), rtol=1e-3, atol=1e-6)
    assert np.abs(found - divergence(NATURAL, X, X)).max() > 0.1


def test_labels_are_only_the_attacks_business() -> None:
    lesson = MTARDLesson(cast(InnerAttack, Given(PROBLEM, 1 - X)), NATURAL)
    one, other = (lesson(STUDENT, Batch(X, y), torch.Generator()).terms for y in (LABELS, (LABELS + 1) % K))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_teachers_are_only_read() -> None:
    loss = torch.stack(list(terms(NATURAL, 1 - X).values())).sum()
    parameters = [*STUDENT.parameters(), *NATURAL.parameters()]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    assert all(g is not None for g in gradients[: len(list(STUDENT.parameters()))])
    assert all(g is None for g in gradients[len(list(STUDENT.parameters())) :])


class TestBalance:
    @pytest.mark.parametrize("exponent", [1.0, 2.0, 0.5])
    def test_is_the_recursion(self, exponent: float) -> None:
        losses = [(2.0, 1.0), (1.0, 0.9), (0.5, 0.9), (0.4, 1.2), (0.4, 0.1)]
        rates = (0.025, 0.025, 0.025, 0.0025, 0.0025)
        balance, natural = LossBalance(tiny.CPU, exponent), 0.5
        for (adversarial, clean), rate in zip(losses, rates, strict=True):
            r_a, r_n = (adversarial / 2.0) ** exponent, (clean / 1.0) ** exponent
            natural = natural - rate * (natural - r_n / (r_a + r_n))
            found = balance.of(torch.tensor([adversarial, clean]), rate)
            assert found.tolist() == pytest.approx([1 - natural, natural], rel=1e-5)

    def test_first_batch_leaves_halves(self) -> None:
        assert LossBalance(tiny.CPU).of(torch.tensor([3.0, 0.01]), 0.025).tolist() == [0.5, 0.5]

    def test_the_loss_that_falls_less_gains(self) -> None:
        balance = LossBalance(tiny.CPU)
        for _ in range(400):
            shares = balance.of(
                torch.tensor([1.0, 1.0]) if balance.first.sum() == 0 else torch.tensor([0.9, 0.3]), 0.025
            )
        assert shares.tolist() == pytest.approx([0.75, 0.25], abs=1e-3)  # its fixed point, r_n / (r_a + r_n)

    def test_stays_at_halves_where_both_teachers_and_both_images_are_the_same(self) -> None:
        balance = LossBalance(tiny.CPU)
        for step in range(3):
            with torch.no_grad():
                STUDENT.fc.bias.add_(0.1 * step)
            found = terms(PROBLEM.teacher, X)
            assert torch.equal(found["adversarial"], found["natural"])
            assert balance.of(torch.stack([term.mean() for term in found.values()]), 0.5).tolist() == [0.5, 0.5]

    def test_sends_no_gradient_through_the_weights(self) -> None:
        balance, losses = LossBalance(tiny.CPU), torch.tensor([1.0, 2.0], requires_grad=True)
        balance.of(torch.tensor([2.0, 2.0]), 0.5)
        shares = balance.of(losses, 0.5)
        (gradient,) = torch.autograd.grad((shares * losses).sum(), losses)
        assert torch.equal(gradient, shares)
        assert shares.tolist() == pytest.approx([5 / 12, 7 / 12])

    def test_a_student_that_is_its_teacher_gives_no_nan(self) -> None:
        balance = LossBalance(tiny.CPU)
        for losses in ([0.0, 0.0], [0.0, 1.0], [-1e-9, 0.0], [1.0, 1.0]):
            shares = balance.of(torch.tensor(losses), 0.025)
            assert shares.isfinite().all()
            assert float(shares.sum()) == pytest.approx(1)

    def test_is_saved(self) -> None:
        one, other = LossBalance(tiny.CPU), LossBalance(tiny.CPU)
        one.of(torch.tensor([1.0, 2.0]), 0.1)
        one.of(torch.tensor([0.5, 1.9]), 0.1)
        other.load_state_dict(one.state_dict())
        assert torch.equal(one.of(torch.tensor([0.4, 1.8]), 0.1), other.of(torch.tensor([0.4, 1.8]), 0.1))
