"""The student's adversary: where its steps go, how far, and what it leaves behind."""

from __future__ import annotations

import math

import pytest
import tiny
import torch
from scipy import stats
from torch import Tensor, nn

from dfrd_bench.distillation.adversaries import DivergenceAdversary
from dfrd_bench.distillation.modes import frozen

X = tiny.random_images(8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def objective(teacher_logits: Tensor, logits: Tensor, gamma: float) -> Tensor:
    """KL(p, f) − γ·KL(U, f), summed over images, written out."""
    p, f = teacher_logits.double().softmax(1), logits.double().softmax(1)
    k = f.shape[1]
    return (p * (p.log() - f.log())).sum() - gamma * ((1 / k) * (math.log(1 / k) - f.log())).sum()


def start() -> Tensor:
    """x + 0.001·N(0, I) with the adversary's first draw."""
    return (X + 0.001 * torch.randn(X.shape, generator=generator())).clamp(0, 1)


@pytest.fixture(scope="module")
def teacher_logits() -> Tensor:
    with torch.no_grad():
        return 3 * tiny.SmallConv(num_classes=4, seed=1)(X)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 5.0])
def test_one_step_follows_the_gradient_of_the_written_out_formula(gamma: float, teacher_logits: Tensor) -> None:
    student = tiny.SmallConv(num_classes=4, seed=2)
    made = DivergenceAdversary(problem=tiny.problem(eps=0.1), steps=1, step=0.01, gamma=gamma)(
        student, X, teacher_logits, generator()
    )
    variable = start().requires_grad_()
    (gradient,) = torch.autograd.grad(objective(teacher_logits, student(variable), gamma), variable)
    expected = (start() + 0.01 * gradient.sign()).clamp(0, 1)
    certain = gradient.abs() > 1e-6
    assert certain.float().mean() > 0.95
    assert (made - expected)[certain].abs().max() < 1e-6


def test_a_uniform_start_fills_the_ball_and_the_other_stays_at_its_centre(teacher_logits: Tensor) -> None:
    """With steps of no length what comes back is the start: uniform in ±ε (Kolmogorov-Smirnov), or N(0, 0.001²)."""
    student, x = tiny.SmallConv(num_classes=4, seed=2), torch.full_like(X, 0.5)
    for begin, law in (("uniform", stats.uniform(-0.1, 0.2)), ("noise", stats.norm(0, 0.001))):
        attack = DivergenceAdversary(problem=tiny.problem(eps=0.1), steps=1, step=0.0, start=begin)  # type: ignore[arg-type]
        moved = (attack(student, x, teacher_logits, generator()) - x).flatten()
        assert stats.kstest(moved.numpy(), law.cdf).pvalue > 0.01


def test_one_step_agrees_with_finite_differences(teacher_logits: Tensor) -> None:
    student = tiny.SmallConv(num_classes=4, seed=2)
    made = DivergenceAdversary(problem=tiny.problem(eps=0.1), steps=1, step=0.01, gamma=0.5)(
        student, X, teacher_logits, generator()
    )
    student, begin, h = student.double(), start().double(), 1e-5
    agree = counted = 0
    with torch.no_grad():
        for pixel in range(0, 64, 3):
            shift = torch.zeros(64, dtype=torch.float64)
            shift[pixel] = h
            shift = shift.reshape(1, 1, 8, 8)
            for image in range(8):
                one = begin[image : image + 1]
                up, down = (
                    objective(teacher_logits[image : image + 1], student(point), 0.5)
                    for point in (one + shift, one - shift)
                )
                slope = (up - down).item() / (2 * h)
                moved = (made[image] - begin[image]).flatten()[pixel].item()
                if abs(slope) > 1e-4 and 0.02 < one.flatten()[pixel] < 0.98:
                    counted += 1
                    agree += math.copysign(1, slope) == math.copysign(1, moved)
    assert counted > 100
    assert agree == counted


def test_uniform_term_changes_where_it_goes(teacher_logits: Tensor) -> None:
    student = tiny.SmallConv(num_classes=4, seed=2)
    plain, uniform = (
        DivergenceAdversary(problem=tiny.problem(), gamma=gamma)(student, X, teacher_logits, generator())
        for gamma in (0.0, 5.0)
    )
    with torch.no_grad():
        away = [objective(teacher_logits, student(images), 0.0).item() for images in (X, plain, uniform)]
        uniformity = [-objective(teacher_logits, student(i), 1.0) for i in (plain, uniform)]
        uniformity = [u.item() + a for u, a in zip(uniformity, away[1:], strict=True)]  # KL(U, f) alone
    assert away[1] > away[0]  # disagrees more than the clean images
    assert uniformity[1] < uniformity[0]  # and is closer to uniform with γ > 0


@pytest.mark.parametrize("eps", [0.02, 0.3])
def test_images_stay_in_the_ball_and_in_range(eps: float, teacher_logits: Tensor) -> None:
    adversary = DivergenceAdversary(problem=tiny.problem(eps=eps), gamma=0.5)
    made = adversary(tiny.SmallConv(num_classes=4), X, teacher_logits, generator())
    assert (made - X).abs().max() <= eps + 1e-6
    assert (made - X).abs().max() > 0.9 * eps
    assert made.min() >= 0
    assert made.max() <= 1


def test_steps_are_the_threat_models_unless_told_otherwise(teacher_logits: Tensor) -> None:
    problem = tiny.problem(eps=0.2)  # its step: 0.05
    for step, expected in ((None, 0.05), (0.01, 0.01)):
        made = DivergenceAdversary(problem=problem, steps=1, step=step)(
            tiny.SmallConv(num_classes=4), X, teacher_logits, generator()
        )
        assert (made - start()).abs().max() == pytest.approx(expected, abs=1e-5)


def test_student_is_attacked_in_eval_mode_and_handed_back_as_it_was(teacher_logits: Tensor) -> None:
    student = tiny.wide_resnet().train()
    student.fc.bias.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    wanted = {name: p.requires_grad for name, p in student.named_parameters()}
    seen: list[tuple[bool, bool]] = []
    student.fc.register_forward_pre_hook(lambda m, _: seen.append((m.training, m.weight.requires_grad)))
    adversary = DivergenceAdversary(problem=tiny.problem(), steps=3)
    adversary(student, X, teacher_logits, generator())
    assert set(seen) == {(False, False)}
    seen.clear()  # the first time its stand-in was compared with it as well
    adversary(student, X, teacher_logits, generator())
    assert seen == [(False, False)] * 3
    assert all(module.training for module in student.modules())
    assert {name: p.requires_grad for name, p in student.named_parameters()} == wanted
    assert all(p.grad is None for p in student.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in student.state_dict().items())


def test_the_generator_decides_the_images(teacher_logits: Tensor, unmoved_rng: None) -> None:
    adversary = DivergenceAdversary(problem=tiny.problem(), steps=2)
    student = tiny.SmallConv(num_classes=4)
    one, again, other = (adversary(student, X, teacher_logits, generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


class TestFrozen:
    @pytest.mark.parametrize("training", [True, False])
    def test_freezes_and_restores(self, training: bool) -> None:
        model = nn.Sequential(nn.Linear(2, 2), nn.Dropout()).train(training)
        model[0].bias.requires_grad_(False)
        with frozen(model):
            assert not any(m.training for m in model.modules())
            assert not any(p.requires_grad for p in model.parameters())
        assert all(m.training is training for m in model.modules())
        assert [p.requires_grad for p in model.parameters()] == [True, False]

    def test_restores_after_a_failure(self) -> None:
        model = nn.Linear(2, 2).train()
        with pytest.raises(ZeroDivisionError), frozen(model):
            raise ZeroDivisionError
        assert model.training
        assert all(p.requires_grad for p in model.parameters())
