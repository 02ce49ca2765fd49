"""BAT's loss against its formula in SciPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest
import tiny
import torch
from dfrd_bench.methods.with_data.bat import BATLesson, kl_to_uniform
from learners import made
from scipy.special import log_softmax, softmax
from scipy.stats import entropy

from dfrd_bench.distillation.early_stopping import Stopped, StoppedAttack
from dfrd_bench.distillation.inner_attack import InnerAttack
from dfrd_bench.distillation.lessons import Batch


@dataclass
class Fixed:
    """In place of an attack: the negative inside, the square outside."""

    attack: InnerAttack

    def __call__(self, student: Any, batch: Batch, generator: torch.Generator) -> Stopped:
        return Stopped(1 - batch.x, batch.x**2, torch.zeros(len(batch.x)))


class TestBAT:
    @pytest.mark.parametrize("smoothing", [0.0, 0.2])
    def test_loss_is_its_formula(self, smoothing: float) -> None:
        problem, x, labels = tiny.problem(), tiny.random_images(6), torch.arange(6) % 4
        student = tiny.SmallConv(num_classes=4, seed=1)
        fixed = cast(StoppedAttack, Fixed(InnerAttack(problem=problem, away="clean")))
        found = BATLesson(fixed, smoothing=smoothing)(student, Batch(x, labels), torch.Generator())
        with torch.no_grad():
            inside, clean, outside = (student(images).double().numpy() for images in (1 - x, x, x**2))
        uniform, target = np.full(4, 0.25), (1 - smoothing) * np.eye(4)[labels] + smoothing / 4
        expected = (
            -(target * log_softmax(inside, axis=1)).sum(axis=1)
            + 6 * entropy(softmax(clean, axis=1), softmax(outside, axis=1), axis=1)
            + entropy(softmax(inside, axis=1), uniform, axis=1)
            + entropy(softmax(outside, axis=1), uniform, axis=1)
        )
        np.testing.assert_allclose(sum(found.terms.values()).detach(), expected, rtol=1e-4)  # type: ignore[union-attr]

    def test_uniform_predictions_cost_nothing(self) -> None:
        assert kl_to_uniform(torch.zeros(2, 5)).abs().max() < 1e-6
        assert kl_to_uniform(torch.tensor([[1e3, 0.0]])).item() == pytest.approx(np.log(2))

    def test_without_uniform_terms_and_beyond_nothing_else_is_asked(self) -> None:
        numbers = made("bat", uniform_weight=0.0, robust_weight=0.0).train_epoch(0)
        assert numbers["loss"] == pytest.approx(numbers["loss_inside"])
        assert numbers["loss_uniform"] == numbers["loss_robust"] == 0
