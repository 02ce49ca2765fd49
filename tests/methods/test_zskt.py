"""ZSKT: the generator raises the disagreement, the student lowers it, and a stop changes nothing."""

from __future__ import annotations

import copy
import io
import itertools
import math
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from dfrd_bench.methods.data_free.zskt import ZSKT, ZSKTConfig
from scipy.special import softmax

from dfrd_bench.problem import Problem

SHORT: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 12,
    "distillation_steps": 5,
    "student_steps": 2,
    "attack_steps": 2,
    "generator_width": 8,
    "latent_dim": 10,
}


def zskt(problem: Problem | None = None, **settings: Any) -> ZSKT:
    return ZSKT(problem or tiny.problem(), ZSKTConfig(**{**SHORT, **settings}))


def trained(epochs: int = 3, problem: Problem | None = None, **settings: Any) -> ZSKT:
    method = zskt(problem, **settings)
    for epoch in range(epochs):
        method.train_epoch(epoch)
    return method


class TestGeneratorStep:
    def test_loss_is_minus_kl_on_the_images_of_its_codes(self) -> None:
        method = zskt()
        twin = copy.deepcopy(method.generator)
        codes = torch.randn(12, 10, generator=torch.Generator().set_state(method.rng.get_state()))
        with torch.no_grad():
            x = twin(codes)
            z_t, z_s = method.problem.teacher(x).double(), copy.deepcopy(method.student).eval()(x).double()
        p, q = softmax(z_t.numpy(), axis=1), softmax(z_s.numpy(), axis=1)
        assert method.improve_generator() == pytest.approx(-(p * np.log(p / q)).sum() / 12, rel=1e-3)

    def test_a_step_raises_the_disagreement_on_the_same_codes(self) -> None:
        method = zskt()
        state = method.rng.get_state()
        losses = []
        for _ in range(6):
            method.rng.set_state(state)
            losses.append(method.improve_generator())
        assert all(after < before for before, after in itertools.pairwise(losses))

    @pytest.mark.parametrize("clip", [1e-3, 1e6, None])
    def test_the_students_gradient_is_clipped_too(self, clip: float | None) -> None:
        """solver.py:115."""
        method = zskt(student_clip_norm=clip)
        method.distill(method.fresh_images(8).detach())
        gradients = [p.grad.norm() for p in method.student.parameters() if p.grad is not None]
        norm = float(torch.stack(gradients).norm())
        assert norm <= (clip or math.inf) * 1.001
        assert norm > (0.99e-3 if clip == 1e-3 else 1e-2)

    def test_its_default_is_the_released_codes(self) -> None:
        assert ZSKTConfig().student_clip_norm == ZSKTConfig().clip_norm == 5.0

    def test_gradient_is_clipped_to_its_norm(self) -> None:
        for clip in (1e-3, 1e6):
            method = zskt(clip_norm=clip)
            method.improve_generator()
            norm = torch.cat([p.grad.flatten() for p in method.generator.parameters() if p.grad is not None]).norm()
            assert norm <= clip * 1.001
            assert norm > (0.99e-3 if clip < 1 else 1e-2)

    def test_leaves_the_student_alone_and_trainable(self) -> None:
        method = zskt()
        method.student.train()
        before = copy.deepcopy(method.student)
        method.improve_generator()
        assert tiny.same(method.student, before)
        assert method.student.training
        assert all(p.requires_grad and p.grad is None for p in method.student.parameters())


class TestEpoch:
    def test_a_generator_step_comes_before_every_so_many_student_steps(self) -> None:
        method, order = zskt(distillation_steps=5, student_steps=2, generator_steps=3), []
        improve, distill = method.improve_generator, method.distill
        method.improve_generator = lambda: (order.append("g"), improve())[1]  # type: ignore[method-assign]
        method.distill = lambda images: (order.append("s"), distill(images))[1]  # type: ignore[method-assign]
        method.train_epoch(0)
        assert "".join(order) == "gggssgggssgggs"

    def test_learning_rates_fall_along_a_cosine(self) -> None:
        method = zskt(epochs=4)
        rates = []
        for epoch in range(4):
            numbers = method.train_epoch(epoch)
            rates.append((numbers["lr"], method.generator_optimiser.param_groups[0]["lr"]))
        shares = [1.0, (1 + 2**-0.5) / 2, 0.5, (1 - 2**-0.5) / 2]
        assert rates == [(pytest.approx(0.1 * s), pytest.approx(1e-3 * s)) for s in shares]

    def test_the_student_comes_closer_to_the_teacher_on_the_generators_images(self) -> None:
        method = zskt(epochs=10, distillation_steps=20, student_steps=10, conversion=False, lr=0.05)
        x = method.sample(64)

        def distance() -> float:
            with torch.no_grad():
                p = method.problem.teacher(x).double().softmax(1)
                q = copy.deepcopy(method.student).eval()(x).double().softmax(1)
            return float((p * (p / q).log()).sum(1).mean())

        before = distance()
        for epoch in range(3):
            method.train_epoch(epoch)
        assert distance() < 0.6 * before

    def test_the_datasets_budget_comes_without_its_warmup(self) -> None:
        found = ZSKTConfig.at_budget(
            {"epochs": 40, "warmup_epochs": 5, "synthesis_steps": 30, "distillation_steps": 60}
        )
        assert found == {"epochs": 40, "warmup_epochs": 0, "distillation_steps": 60, "generator_steps": 5}

    def test_its_generator_takes_as_many_steps_as_the_other_methods_synthesis(self) -> None:
        budget = {"epochs": 4, "synthesis_rounds": 3, "synthesis_steps": 8, "distillation_steps": 80}
        config = ZSKTConfig(**ZSKTConfig.at_budget(budget))
        assert config.made()["synthesis steps"] == 4 * 3 * 8


class TestState:
    @pytest.mark.parametrize("stop", [1, 2])
    def test_a_run_stopped_and_resumed_gives_the_same_student(self, stop: int) -> None:
        whole, first = trained(3), trained(stop)
        file = io.BytesIO()
        torch.save(first.state_dict(), file)
        file.seek(0)
        second = zskt()
        second.load_state_dict(torch.load(file, weights_only=True))
        for epoch in range(stop, 3):
            second.train_epoch(epoch)
        assert tiny.same(second.student, whole.student)
        assert tiny.same(second.generator, whole.generator)

    def test_a_seed_fixes_the_student_whatever_the_global_state(self) -> None:
        students = []
        for global_seed, seed in ((1, 0), (2, 0), (1, 5)):
            with torch.random.fork_rng():
                torch.manual_seed(global_seed)
                students.append(trained(2, tiny.problem(seed=seed)).student)
        assert tiny.same(students[0], students[1])
        assert not tiny.same(students[0], students[2])

    def test_the_teacher_and_the_global_random_state_stay_as_they_were(self, unmoved_rng: None) -> None:
        problem = tiny.problem()
        before = copy.deepcopy(problem.teacher)
        trained(1, problem)
        assert tiny.same(problem.teacher, before)
        assert not any(m.training for m in problem.teacher.modules())
        assert not any(p.requires_grad or p.grad is not None for p in problem.teacher.parameters())

    def test_sampling_does_not_disturb_the_training(self) -> None:
        method = zskt()
        method.sample(4)
        method.train_epoch(0)
        method.sample(4)
        method.train_epoch(1)
        assert tiny.same(method.student, trained(2).student)
        assert method.generator.training


def test_another_shape_works() -> None:
    method = trained(2, tiny.problem(channels=3, size=12, classes=3))
    images = method.sample(5)
    assert images.shape == (5, 3, 12, 12)
    assert images.min() >= 0
    assert images.max() <= 1
    assert method.student(images).shape == (5, 3)


def test_a_teacher_without_batchnorm_will_do() -> None:
    trained(1, tiny.problem(teacher=tiny.SmallConv(num_classes=4)))


@pytest.mark.parametrize(("classes", "cautions"), [(199, 0), (200, 1)])
def test_it_cautions_where_the_paper_leaves_it_out(classes: int, cautions: int) -> None:
    assert len(zskt(tiny.problem(classes=classes)).cautions) == cautions
