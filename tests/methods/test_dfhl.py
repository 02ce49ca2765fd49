"""DFHL: high-entropy examples, hard labels, and what its generator minimises."""

from __future__ import annotations

import math

import pytest
import tiny
import torch
import toy
from dfrd_bench.methods.data_free.dfhl import DFHL
from pydantic import ValidationError

from dfrd_bench.distillation.losses import kl
from dfrd_bench.runs.preparation import budget_of

SMALL = {"warmup_epochs": 0}


def entropy(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        p = model(x).double().softmax(1)
    return -(p * p.log()).sum(1)


def test_resumes_exactly() -> None:
    toy.check_resumes_exactly(DFHL, **SMALL)


def test_leaves_the_teacher_alone() -> None:
    toy.check_leaves_the_teacher_alone(DFHL, **SMALL)


@pytest.mark.parametrize(("channels", "size", "classes"), [(3, 12, 3), (1, 8, 200), (3, 64, 2)])
def test_runs_for_any_shape(channels: int, size: int, classes: int) -> None:
    toy.check_runs(DFHL, channels=channels, size=size, classes=classes, **SMALL)


def test_losses_are_float32_under_bf16() -> None:
    toy.check_losses_are_float32_under_bf16(DFHL, **SMALL)


def test_generator_loss_by_hand() -> None:
    method = toy.make(DFHL, label_smoothing=0.2, lambda_div=3.0)
    method.student.eval().requires_grad_(False)
    x, y = tiny.random_images(8), toy.labels_for(method)
    terms = method.generator_loss(x, y)
    p = method.student(x).double().softmax(1).tolist()
    cls = 0.0
    for prediction, label in zip(p, y.tolist(), strict=True):
        for k in range(4):
            target = 0.8 if k == label else 0.2 / 3
            cls -= target * math.log(prediction[k]) / 8
    means = [sum(prediction[k] for prediction in p) / 8 for k in range(4)]
    div = sum(m * math.log10(m) for m in means)
    assert float(terms["cls"]) == pytest.approx(cls, rel=1e-5)
    assert float(terms["div"]) == pytest.approx(3 * div, rel=1e-5)


def test_synthesis_does_not_ask_the_teacher() -> None:
    method = toy.make(DFHL)
    calls = []
    handle = method.problem.teacher.register_forward_pre_hook(lambda *_: calls.append(1))
    method.synthesize(toy.labels_for(method))
    handle.remove()
    assert calls == []


def test_examples_have_higher_student_entropy_and_stay_in_range() -> None:
    method = toy.make(DFHL, tiny.problem(eps=1e-3), attack_steps=10)
    student = tiny.SmallConv(num_classes=4)
    x = tiny.random_images(64)
    found = method.high_entropy(student, x, method.rng)
    before, after = entropy(student, x), entropy(student, found)
    most = math.log(4)
    assert most - after.mean() < 0.25 * (most - before.mean())
    assert (after > before - 1e-3).float().mean() > 0.95
    assert 0 <= found.min() <= found.max() <= 1
    far = float((found - x).abs().max())
    assert far > 0.1  # 10 steps of 0.03, unconstrained by the threat model's eps of 0.001
    assert far <= 10 * 0.03 + 0.01


def test_the_student_is_in_eval_mode_while_examples_are_made() -> None:
    method = toy.make(DFHL)
    method.student.train()
    modes = []
    handle = method.student.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    statistics = [b.clone() for b in method.student.buffers()]
    method.distillation_view(tiny.random_images(8))
    handle.remove()
    assert modes == [False, False]  # two ascent steps
    assert method.student.training
    toy.assert_same(statistics, list(method.student.buffers()))


def test_the_student_learns_the_teachers_decisions() -> None:
    method = toy.make(DFHL)
    method.student.eval().requires_grad_(False)
    x = tiny.random_images(8)
    z = method.problem.teacher(x)
    loss = float(method.distillation(method.student, x, z, method.rng)["student"])
    p = method.student(x).double().softmax(1)
    expected = sum(-math.log(p[i, int(z[i].argmax())]) for i in range(8)) / 8
    assert loss == pytest.approx(expected, rel=1e-5)
    # hard labels: the teacher's confidence does not matter
    assert float(method.distillation(method.student, x, 100 * z, method.rng)["student"]) == loss


def test_labels_are_asked_for_on_the_examples_themselves() -> None:
    method = toy.make(DFHL)
    asked: list[torch.Tensor] = []
    taught: list[torch.Tensor] = []
    handles = [
        method.problem.teacher.register_forward_pre_hook(lambda _, inputs: asked.append(inputs[0])),
        method.student.register_forward_pre_hook(lambda m, inputs: taught.append(inputs[0]) if m.training else None),
    ]
    method.distill(tiny.random_images(8))
    for handle in handles:
        handle.remove()
    (image,), (lesson,) = asked, taught
    assert torch.equal(image, lesson)


def test_soft_labels_are_an_option() -> None:
    method = toy.make(DFHL, soft_labels=True)
    x = tiny.random_images(8)
    z = method.problem.teacher(x)
    loss = method.distillation(method.student.eval(), x, z, method.rng)["student"]
    assert torch.equal(loss, kl(z, method.student(x)))


def test_strong_augmentation_without_its_parts_is_only_noise() -> None:
    method = toy.make(DFHL, strong_crop=1.0, strong_degrees=0.0, strong_flip=False, strong_noise=0.01)
    x = 0.25 + tiny.random_images(64) / 2
    noise = (method.strongly_augmented(x) - x).flatten()
    assert float(noise.std()) == pytest.approx(0.01, rel=0.05)
    assert abs(float(noise.mean())) < 0.001


def test_it_cannot_be_converted() -> None:
    with pytest.raises(ValidationError, match="conversion"):
        toy.make(DFHL, conversion=True)


def test_a_preset_drops_the_warm_up() -> None:
    budget = {"epochs": 40, "warmup_epochs": 5, "synthesis_steps": 30}
    assert DFHL.Config.at_budget(budget) == {"epochs": 40, "warmup_epochs": 0, "synthesis_steps": 30}


@pytest.mark.parametrize(
    ("classes", "preset", "steps"), [(10, {}, 10), (100, {}, 15), (100, {"synthesis_steps": 8}, 8)]
)
def test_its_steps_are_the_papers_where_no_preset_says_others(classes: int, preset: dict[str, int], steps: int) -> None:
    assert DFHL.Config(**budget_of(DFHL, classes, preset)).synthesis_steps == steps
