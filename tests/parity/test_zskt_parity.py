"""ZSKT against its released code: both losses, the generator's step, both clipped gradients, and the order of the steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from dfrd_bench.methods.data_free.zskt import ZSKT, ZSKTConfig
from tiny_networks import TinyGenerator, fill, gradients, problem, stored
from torch import Tensor

from dfrd_bench.distillation.losses import kl

RELEASED = stored("zskt")
CLASSES = 4
LIMIT = 5.0
UNLIMITED = 1e9


def zskt(*, steep: bool = False, **settings: Any) -> ZSKT:
    """Ours with the released run's networks; `steep` is a student of large logits, whose gradients are long."""
    networks = {"teacher": RELEASED["released/teacher"], "student": RELEASED["released/student"]}
    method = ZSKT(
        problem(networks | ({"student": RELEASED["steep/student"]} if steep else {})),
        ZSKTConfig(**{"epochs": 1, "batch_size": 8, "latent_dim": 5, "conversion": False, **settings}),
    )
    generator = TinyGenerator(5)
    fill(generator, RELEASED["released/generator"])
    method.generator = generator.train()
    method.generator_optimiser = torch.optim.Adam(generator.parameters(), lr=1e-3)
    return method


def of_the_released_codes(method: ZSKT) -> ZSKT:
    method.fresh_images = lambda n: method.generator(RELEASED["released/z"])  # type: ignore[method-assign]
    return method


@pytest.mark.parametrize("temperature", [1, 4])
def test_the_released_divergence_is_ours_over_classes_and_squared_temperature(temperature: int) -> None:
    """`F.kl_div` without a reduction averages over images × classes, and nothing restores the gradient's size at a temperature
    (`solver.py:217-221`). Adam, with which both networks are trained there, does not see a constant factor.
    """
    student = RELEASED["losses/student"].clone().requires_grad_()
    loss = -kl(RELEASED["losses/teacher"], student, temperature=float(temperature))
    loss.backward()
    factor = 10 * temperature**2
    torch.testing.assert_close(loss.detach() / factor, RELEASED[f"losses/generator/T{temperature}"])
    torch.testing.assert_close(
        student.grad / factor, RELEASED[f"losses/generator/T{temperature}/gradient"], rtol=1e-4, atol=1e-7
    )


def test_the_students_loss_is_the_same_divergence_and_attention_transfer_which_ours_leaves_out() -> None:
    """250 times the distance of attention maps comes on top, for networks of one family only (`main.py:73`); the benchmark's
    students and teachers need not be of one.
    """
    ours = kl(RELEASED["losses/teacher"], RELEASED["losses/student"], reduction="mean")
    torch.testing.assert_close(ours, RELEASED["losses/student_without_attention/T1"])
    assert RELEASED["losses/student_with_attention"] > 2 * ours


def test_a_generator_step_has_the_released_gradient_times_the_number_of_classes() -> None:
    """With the student in eval mode in both."""
    method = of_the_released_codes(zskt(clip_norm=UNLIMITED))
    method.improve_generator()
    torch.testing.assert_close(
        gradients(method.generator) / CLASSES, RELEASED["eval/generator_gradient"], rtol=1e-3, atol=1e-6
    )


def test_the_released_student_stays_in_training_mode_when_the_generator_learns() -> None:
    """There its BatchNorm sees the batch, and its running statistics move (`solver.py:31, 93-94`). Ours is in eval mode whenever
    images are made, as in all methods here, and as in Fang et al.'s ZSKT: the student that is attacked is the one that is
    kept.
    """
    assert RELEASED["released/student_training"].all()
    method = of_the_released_codes(zskt(clip_norm=UNLIMITED))
    method.student.train()
    before = method.student.state_dict()["bn1.running_mean"].clone()
    method.improve_generator()
    assert torch.equal(method.student.state_dict()["bn1.running_mean"], before)
    ours, theirs = gradients(method.generator) / CLASSES, RELEASED["released/generator_gradient"]
    assert (ours - theirs).norm() > 0.1 * theirs.norm()


class TestClipping:
    def test_every_released_step_of_both_networks_is_clipped_at_5(self) -> None:
        assert set(RELEASED["released/limits"].tolist()) == {LIMIT}
        assert len(RELEASED["released/limits"]) == 22
        for who in ("generator", "student"):
            before, after = RELEASED[f"steep/{who}_before"], RELEASED[f"steep/{who}_after"]
            torch.testing.assert_close(after, before * LIMIT / before.norm(), rtol=1e-4, atol=1e-6)
        assert (ZSKTConfig(epochs=1).clip_norm, ZSKTConfig(epochs=1).student_clip_norm) == (LIMIT, LIMIT)

    def test_a_long_gradient_of_the_generator_becomes_the_released_one(self) -> None:
        method = of_the_released_codes(zskt(steep=True))
        method.improve_generator()
        torch.testing.assert_close(gradients(method.generator), RELEASED["steep/generator_after"], rtol=5e-3, atol=1e-3)

    def test_a_long_gradient_of_the_student_is_clipped_and_only_then(self) -> None:
        def norm(**settings: Any) -> float:
            method = zskt(steep=True, **settings)
            method.distill(method.generator(RELEASED["released/z"]).detach())
            return float(gradients(method.student).norm())

        assert norm(student_clip_norm=None) > 10 * LIMIT
        assert norm() == pytest.approx(LIMIT, rel=1e-4)

    def test_it_bites_earlier_than_released_by_the_number_of_classes(self) -> None:
        """The limit is the same and our loss is K times theirs: a gradient that theirs lets pass is shortened by ours."""
        method = of_the_released_codes(zskt(clip_norm=UNLIMITED))
        method.improve_generator()
        ours, theirs = gradients(method.generator).norm(), RELEASED["eval/generator_gradient"].norm()
        assert float(ours / theirs) == pytest.approx(CLASSES, rel=1e-3)


def test_one_generator_step_goes_before_every_ten_of_the_student_on_fresh_codes() -> None:
    """The released loop keeps one batch of codes for all 11 steps, so that the student sees the same images ten times
    (`loaders.py:44-51`, `solver.py:103-116`); ours draws new codes for every step.
    """
    method = zskt(
        distillation_steps=20, generator_steps=1
    )  # ours by default 5, as many as other methods synthesis steps
    codes: list[float] = []
    turns: list[bool] = []
    method.generator.register_forward_pre_hook(lambda _, inputs: codes.append(float(inputs[0][0, 0])))
    improve, distill = method.improve_generator, method.distill

    def improving() -> Tensor:
        turns.append(True)
        return improve()

    def distilling(images: Tensor) -> Tensor:
        turns.append(False)
        return distill(images)

    method.improve_generator = improving  # type: ignore[method-assign]
    method.distill = distilling  # type: ignore[method-assign]
    method.train_epoch(0)
    assert turns == RELEASED["released/generator_turn"].tolist()
    assert len(set(RELEASED["released/codes_first"].tolist())) == 2
    assert len(set(codes)) == len(codes) == 22
