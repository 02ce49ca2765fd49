"""ABSLD's temperatures against a replay by hand, and its lesson against the formula in SciPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest
import tiny
import torch
from scipy.special import log_softmax, softmax
from scipy.stats import entropy
from torch import Tensor, nn

from dfrd_bench.distillation.class_temperatures import ABSLDLesson, ClassTemperatures
from dfrd_bench.distillation.inner_attack import InnerAttack
from dfrd_bench.distillation.lessons import Attacked, Batch
from dfrd_bench.distillation.teacher_lessons import RSLADLesson
from dfrd_bench.problem import Problem

LABELS = torch.tensor([0, 1, 2, 3, 3, 0])
ADVERSARIAL = torch.tensor([2.0, 0.5, 1.0, 4.0])
NATURAL = torch.tensor([1.0, 3.0, 0.5, 2.0])


def temperatures(**options: Any) -> ClassTemperatures:
    made = ClassTemperatures(4, tiny.CPU, **options)
    made.values = torch.stack([ADVERSARIAL, NATURAL]).double()
    return made


def logits(*of_the_label: float) -> Tensor:
    """One image of each class 0, 1, …, whose label has this logit and any other class 0."""
    return torch.diag(torch.tensor(of_the_label, dtype=torch.float32))


def risk(value: float, classes: int = 3) -> float:
    return -float(log_softmax([value] + [0.0] * (classes - 1))[0])


class TestStep:
    def test_is_the_gap_to_the_mean_risk_by_the_largest(self) -> None:
        """Two epochs: a class above the mean gets a lower temperature, and the one furthest away moves by ρ."""
        made, y, expected = ClassTemperatures(3, tiny.CPU), torch.arange(3), np.ones((2, 3))
        for adversarial, clean, rate in (
            ((0.0, 1.0, 4.0), (2.0, 2.0, 1.0), 0.1),
            ((3.0, 0.0, 0.0), (1.0, 2.0, 3.0), 0.01),
        ):
            made.observe(y, logits(*adversarial), logits(*clean))
            for row, values in enumerate((adversarial, clean)):
                risks = np.array([risk(v) for v in values])
                gap = risks - risks.mean()
                expected[row] -= rate * gap / np.abs(gap).max()
            numbers = made.end_epoch(rate)
            found = [[numbers[f"tau_{kind}/{k}"] for k in range(3)] for kind in ("adv", "nat")]
            np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert abs(expected[0, 0] - 1) > 0.05

    def test_none_where_all_classes_are_equally_hard(self) -> None:
        made = ClassTemperatures(3, tiny.CPU)
        made.observe(torch.arange(3), logits(1, 1, 1), logits(2, 2, 2))
        assert set(made.end_epoch(0.1).values()) == {1.0}

    @pytest.mark.parametrize(("kind", "moves"), [("mean", False), ("sum", True)])
    def test_counts_a_classs_size_only_as_released(self, kind: Any, moves: bool) -> None:
        made, y = ClassTemperatures(3, tiny.CPU, risk=kind), torch.tensor([0, 0, 0, 1, 2])
        alike = logits(1, 1, 1)[y]
        made.observe(y, alike, alike)
        numbers = made.end_epoch(0.1)
        assert (numbers["tau_adv/0"] == pytest.approx(0.9)) is moves
        assert (numbers["tau_adv/1"] == pytest.approx(1.05)) is moves

    def test_stays_within_a_half_and_five(self) -> None:
        made = ClassTemperatures(2, tiny.CPU)
        for _ in range(60):
            made.observe(torch.arange(2), logits(0, 5), logits(5, 0))
            numbers = made.end_epoch(0.1)
        assert list(numbers.values()) == [0.5, 5.0, 5.0, 0.5]

    def test_comes_from_its_own_epoch_and_is_saved_in_the_middle_of_one(self) -> None:
        whole, begun, other = (ClassTemperatures(3, tiny.CPU) for _ in range(3))
        for made in (whole, begun):
            made.observe(torch.arange(3), logits(0, 1, 2), logits(2, 1, 0))
        other.load_state_dict(begun.state_dict())
        assert whole.end_epoch(0.1) == other.end_epoch(0.1)
        before = whole.values.clone()
        whole.observe(torch.arange(3), logits(1, 1, 1), logits(1, 1, 1))
        whole.end_epoch(0.1)
        assert torch.equal(whole.values, before)


@dataclass
class Mirrored:
    """An attack that turns images into their negatives and remembers what the student was to be driven from."""

    problem: Problem
    taught: Tensor | None = None

    def __call__(self, student: nn.Module, batch: Batch, generator: torch.Generator) -> Attacked:
        self.taught = batch.taught
        return Attacked(1 - batch.x, torch.zeros(len(batch.labels)))


class TestLesson:
    X = tiny.random_images(6)
    STUDENT = tiny.SmallConv(num_classes=4, seed=1)

    def learnt(self, **options: Any) -> tuple[Tensor, np.ndarray, Mirrored, Tensor]:
        attack = Mirrored(tiny.problem())
        with torch.no_grad():
            teacher = attack.problem.teacher(self.X)
        lesson = ABSLDLesson(cast(InnerAttack, attack), temperatures(**options))
        found = lesson(self.STUDENT, Batch(self.X, LABELS, teacher), torch.Generator())
        return torch.stack(list(found.terms.values())).sum(dim=0), teacher.double().numpy(), attack, teacher

    @pytest.mark.parametrize("kinds", ["own", "released"])
    def test_only_the_teacher_is_divided_by_its_classs_temperature(self, kinds: str) -> None:
        total, teacher, attack, _ = self.learnt(kinds=kinds)
        hard, easy = ADVERSARIAL[LABELS].numpy()[:, None], NATURAL[LABELS].numpy()[:, None]
        if kinds == "released":
            hard = easy = hard * easy
        with torch.no_grad():
            adversarial, clean = (self.STUDENT(x).double().numpy() for x in (1 - self.X, self.X))
        expected = 5 / 6 * entropy(softmax(teacher / hard, axis=1), softmax(adversarial, axis=1), axis=1)
        expected += 1 / 6 * entropy(softmax(teacher / easy, axis=1), softmax(clean, axis=1), axis=1)
        np.testing.assert_allclose(total.detach().numpy(), expected, rtol=1e-3, atol=1e-6)
        assert attack.taught is not None
        np.testing.assert_allclose(attack.taught.numpy(), teacher / hard, rtol=1e-5)

    def test_is_rslad_while_all_temperatures_are_one(self) -> None:
        attack = cast(InnerAttack, Mirrored(tiny.problem()))
        with torch.no_grad():
            batch = Batch(self.X, LABELS, attack.problem.teacher(self.X))
        ours = ABSLDLesson(attack, ClassTemperatures(4, tiny.CPU))(self.STUDENT, batch, torch.Generator()).terms
        theirs = RSLADLesson(attack)(self.STUDENT, batch, torch.Generator()).terms
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)

    def test_learns_the_students_cross_entropy_of_every_image(self) -> None:
        made, attack = temperatures(), Mirrored(tiny.problem())
        lesson = ABSLDLesson(cast(InnerAttack, attack), made)
        lesson(self.STUDENT, Batch(self.X, LABELS, torch.zeros(6, 4)), torch.Generator())
        with torch.no_grad():
            answers = [self.STUDENT(x).double().numpy() for x in (1 - self.X, self.X)]
        for row, z in enumerate(answers):
            each = -log_softmax(z, axis=1)[np.arange(6), LABELS]
            np.testing.assert_allclose(made.total[row], np.bincount(LABELS, each), rtol=1e-4)
