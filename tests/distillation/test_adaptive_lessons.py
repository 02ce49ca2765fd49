"""AdaAD's and IGDM's losses against their formulas, on linear networks by hand, and the attack on the gap."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import tiny
import torch
from scipy.special import softmax
from scipy.stats import entropy
from torch import Tensor, nn

from dfrd_bench.distillation.adaptive_lessons import AdaADLesson, IGDMLesson
from dfrd_bench.distillation.inner_attack import Away, InnerAttack
from dfrd_bench.distillation.lessons import Attacked, Batch
from dfrd_bench.distillation.losses import kl_per_image
from dfrd_bench.problem import Precision, Problem

N, K = 6, 4
LABELS = torch.tensor([0, 1, 2, 3, 3, 0])
X = 0.2 + 0.6 * tiny.random_images(N)
DELTA = 0.1 * (tiny.random_images(N, seed=3) - 0.5)


class Shifted:
    """An attack that always adds the same."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def __call__(self, student: nn.Module, batch: Batch, generator: torch.Generator) -> Attacked:
        return Attacked(batch.x + DELTA, torch.zeros(N))


def linear(seed: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, K)).requires_grad_(False)


def problem(teacher: nn.Module) -> Problem:
    return replace(tiny.problem(), teacher=teacher, precision=Precision(channels_last=False))


def kl(p: Tensor, q: Tensor) -> np.ndarray:
    value: np.ndarray = entropy(softmax(p.double().numpy(), axis=1), softmax(q.double().numpy(), axis=1), axis=1)
    return value


def test_adaads_loss_is_the_divergence_on_the_adversarial_image() -> None:
    teacher, student = tiny.SmallConv(num_classes=K, seed=1), tiny.SmallConv(num_classes=K, seed=2)
    lesson = AdaADLesson(cast(InnerAttack, Shifted(problem(teacher))))
    (loss,) = lesson(student, Batch(X, LABELS), torch.Generator()).terms.values()
    with torch.no_grad():
        np.testing.assert_allclose(loss.detach().numpy(), kl(teacher(X + DELTA), student(X + DELTA)), rtol=1e-3)


def test_igdm_matches_twice_the_gradient_along_the_attack_where_networks_are_linear() -> None:
    teacher, student = linear(1), linear(2)
    lesson = IGDMLesson(cast(InnerAttack, Shifted(problem(teacher))), weight=3.0)
    terms = lesson(student, Batch(X, LABELS), torch.Generator()).terms
    slopes = [2 * DELTA.flatten(1) @ net[1].weight.T for net in (teacher, student)]  # type: ignore[index]
    np.testing.assert_allclose(terms["gradients"].numpy(), 3 * kl(*slopes), rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose(terms["adversarial"].numpy(), kl(teacher(X + DELTA), student(X + DELTA)), rtol=1e-3)
    biased = nn.Sequential(nn.Flatten(), nn.Linear(64, K)).requires_grad_(False)
    biased.load_state_dict({"1.weight": teacher[1].weight, "1.bias": teacher[1].bias + torch.arange(4)})  # type: ignore[index]
    same = IGDMLesson(cast(InnerAttack, Shifted(problem(teacher))))(biased, Batch(X, LABELS), torch.Generator()).terms
    assert float(same["gradients"].abs().max()) < 1e-6  # the same slope, another answer
    assert float(same["adversarial"].min()) > 0.01


def test_gradients_flow_through_both_sides() -> None:
    teacher, student = tiny.SmallConv(num_classes=K, seed=1), tiny.SmallConv(num_classes=K, seed=2)
    lesson = IGDMLesson(cast(InnerAttack, Shifted(problem(teacher))))
    found = lesson(student, Batch(X, LABELS), torch.Generator()).terms["gradients"].mean()
    (whole,) = torch.autograd.grad(found, student.fc.weight)

    def kept(logits: Tensor) -> Tensor:
        return logits.detach()

    with torch.no_grad():
        target = teacher(X + DELTA) - teacher(X - DELTA)
    sides = student(X + DELTA), student(X - DELTA)
    (expected,) = torch.autograd.grad(
        kl_per_image(target, sides[0] - sides[1]).mean(), student.fc.weight, retain_graph=True
    )
    (half,) = torch.autograd.grad(kl_per_image(target, sides[0] - kept(sides[1])).mean(), student.fc.weight)
    torch.testing.assert_close(whole, expected)
    assert (whole - half).abs().max() > 1e-3 * whole.abs().max()


class TestAttack:
    """One step from the image itself: the direction is the sign of a gradient that can be had otherwise."""

    TEACHER, STUDENT = tiny.SmallConv(num_classes=K, seed=1), tiny.SmallConv(num_classes=K, seed=2)

    def moved(self, away: Away, monkeypatch: pytest.MonkeyPatch) -> Tensor:
        monkeypatch.setattr("dfrd_bench.distillation.inner_attack.started", lambda x, *_: x)
        with torch.no_grad():
            batch = Batch(X, LABELS, self.TEACHER(X))
        attack = InnerAttack(problem=problem(self.TEACHER.requires_grad_(False)), away=away, steps=1, step=0.01)
        return attack(self.STUDENT, batch, torch.Generator()).x - X

    def test_goes_through_the_teacher_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        x = X.clone().requires_grad_()
        log_p, log_q = self.TEACHER(x).log_softmax(dim=1), self.STUDENT(x).log_softmax(dim=1)
        (gradient,) = torch.autograd.grad((log_p.exp() * (log_p - log_q)).sum(), x)
        clear = gradient.abs() > 1e-4 * gradient.abs().max()
        found = self.moved("gap", monkeypatch)
        assert torch.equal(found.sign()[clear], gradient.sign()[clear])
        (other,) = torch.autograd.grad((log_p.detach().exp() * -self.STUDENT(x).log_softmax(dim=1)).sum(), x)
        assert (other.sign() != gradient.sign())[clear].float().mean() > 0.1
        fixed = self.moved("teacher", monkeypatch)
        assert torch.equal(fixed.sign()[clear], other.sign()[clear])
