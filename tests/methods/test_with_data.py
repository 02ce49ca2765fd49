"""What MTARD, ABSLD and IGDM do over the epochs, and that each released variant is its method with other settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from dfrd_bench.datasets.base import open_dataset
from dfrd_bench.distillation.adaptive_lessons import IGDMLesson
from dfrd_bench.distillation.learner import Learner
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.problem import TrainingProblem
from dfrd_bench.registry import METHODS
from dfrd_bench.runs.preparation import resolve_config
from dfrd_bench.runs.request import Request
from dfrd_bench.testing import problem_for, tiny_config


def learner(name: str, *, images: int = 24, **settings: Any) -> Learner:
    method = METHODS.get(name)
    made: Learner = method(
        problem_for(method, (1, 8, 8), 4, images=images), tiny_config(method, {"batch_size": 8, **settings})
    )
    return made


def trained(name: str, epochs: int = 3, **settings: Any) -> tuple[dict[str, torch.Tensor], list[dict[str, float]]]:
    made = learner(name, epochs=epochs, **settings)
    numbers = [made.train_epoch(epoch) for epoch in range(epochs)]
    return dict(made.student.state_dict()), numbers


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


class TestFairMTARD:
    def test_with_beta_zero_is_mtard_to_the_bit(self) -> None:
        vanilla, _ = trained("mtard")
        assert equal(trained("fair-mtard", beta=0)[0], vanilla)
        assert not equal(trained("fair-mtard")[0], vanilla)

    def test_is_mtard_with_fair_set(self) -> None:
        assert equal(trained("fair-mtard")[0], trained("mtard", fair=True)[0])

    @pytest.mark.parametrize(("target", "matters"), [("natural", True), ("released", False)])
    def test_hears_the_natural_teacher_only_as_in_the_paper(self, target: str, matters: bool) -> None:
        students = []
        for seed in (1, 2):
            made = learner("fair-mtard", nat_target=target)
            teacher = made.problem.natural_teacher
            assert teacher is not None
            with torch.no_grad():
                teacher.get_submodule("fc").get_parameter("weight").mul_(seed)
            made.train_epoch(0)
            students.append(dict(made.student.state_dict()))
        assert equal(*students) is not matters


@pytest.mark.parametrize("name", ["absld", "adaad", "igdm"])
def test_fair_with_beta_zero_is_the_vanilla_method_to_the_bit(name: str) -> None:
    vanilla, _ = trained(name)
    assert equal(trained(name, fair=True, beta=0)[0], vanilla)
    assert not equal(trained(name, fair=True)[0], vanilla)


class TestBalanceOverTheEpochs:
    def test_eta_falls_with_lr_and_shares_add_up_to_one(self) -> None:
        made = learner("mtard", epochs=6, decay_at=[0.5, 2 / 3], balance_rate=0.4)
        rates = []
        for epoch in range(6):
            numbers = made.train_epoch(epoch)
            rates.append((made.rate, numbers["lr"]))  # type: ignore[attr-defined]
            assert numbers["v/adversarial"] + numbers["v/natural"] == pytest.approx(1)
        assert np.array(rates) == pytest.approx(np.array([(0.4, 0.1)] * 3 + [(0.04, 0.01)] + [(0.004, 0.001)] * 2))

    def test_eta_zero_is_the_plain_mean_of_both(self) -> None:
        made = learner("mtard", balance_rate=0)
        images, labels = next(iter(made.draw()))
        numbers = made.learn(made.lesson, images, labels)
        assert made.balance.shares.tolist() == [0.5, 0.5]  # type: ignore[attr-defined]
        assert numbers["loss"] == pytest.approx(float(numbers["loss_adversarial"] + numbers["loss_natural"]))

    def test_the_losses_that_move_it_are_weighted_by_class(self) -> None:
        """With a weight of 0 for all but one class the first losses are that class's."""
        made, alike = (learner("fair-mtard", batch_size=24) for _ in range(2))
        made.weighting.weights = torch.tensor([2.0, 0.0, 0.0, 0.0])  # type: ignore[attr-defined]
        for one in (made, alike):
            images, labels = next(iter(one.draw()))
            one.learn(one.lesson, images, labels)
        first, plain = made.balance.first, alike.balance.first  # type: ignore[attr-defined]
        assert first.tolist() != pytest.approx(plain.tolist(), rel=1e-3)


class TestABSLD:
    def test_the_first_epoch_is_rslads_to_the_bit(self) -> None:
        assert equal(trained("absld", 1)[0], trained("rslad", 1)[0])
        assert not equal(trained("absld", 2)[0], trained("rslad", 2)[0])
        assert equal(trained("absld", 2, temperature_rate=0)[0], trained("rslad", 2)[0])

    def test_the_hardest_class_moves_by_rho_which_falls_with_the_lr_of_the_epoch_that_follows(self) -> None:
        _, numbers = trained("absld", 5, decay_at=[0.6], lr=0.01)
        before, moved = np.ones(8), []
        for row in numbers:
            tau = np.array([value for name, value in row.items() if name.startswith("tau_")])
            moved.append(np.abs(tau - before).reshape(2, 4).max(axis=1))
            before = tau
        assert np.array(moved) == pytest.approx(np.array([[0.1] * 2] * 2 + [[0.01] * 2] * 3))

    def test_released_temperatures_teach_otherwise(self) -> None:
        assert not equal(trained("absld", 2, temperatures="released")[0], trained("absld", 2)[0])


class TestIGDM:
    def test_the_weight_of_matched_gradients_grows_in_a_line_to_alpha(self) -> None:
        made = learner("igdm", epochs=4, alpha=10.0)
        lessons = [made.lesson_at(epoch) for epoch in range(4)]
        assert [lesson.weight for lesson in lessons if isinstance(lesson, IGDMLesson)] == [2.5, 5, 7.5, 10]

    @pytest.mark.parametrize(("dataset", "alpha"), [("cifar10", 1.0), ("cifar100", 10.0), ("digits", 1.0)])
    def test_a_hundred_classes_have_ten_times_the_weight(self, dataset: str, alpha: float) -> None:
        config, _ = resolve_config(Request("igdm", dataset), METHODS.get("igdm"), open_dataset(dataset))
        assert config.alpha == alpha  # type: ignore[attr-defined]


SHARED = {"nesterov": True, "clamp": "released", "count": "all", "sizes": "equal"}
RELEASED: dict[str, dict[str, Any]] = {
    "fair-ard": {**SHARED, "decay_at": (0.5,), "reduction": "mean", "label_temperature": 1.0},
    "fair-iad": {**SHARED, "decay_at": (0.5,)},
    "fair-rslad": {**SHARED, "reduction": "mean"},
    "fair-mtard": {**SHARED, "reduction": "mean", "nat_target": "released"},
}


@pytest.mark.parametrize("name", RELEASED)
class TestReleased:
    def test_differs_from_the_papers_in_nothing_but_the_listed_defects(self, name: str) -> None:
        ours, theirs = (METHODS.get(which).Config().model_dump() for which in (name, f"{name}-released"))
        assert {key: value for key, value in theirs.items() if value != ours[key]} == RELEASED[name]
        assert theirs.keys() == ours.keys()

    def test_is_the_papers_with_these_settings_to_the_bit(self, name: str) -> None:
        others = {"alpha": 0.5} if name == "fair-ard" else {}  # so that the labels count, and their temperature
        assert equal(trained(f"{name}-released", **others)[0], trained(name, **others, **RELEASED[name])[0])

    def test_second_milestone_does_nothing_in_ard_and_iad(self, name: str) -> None:
        made = METHODS.get(f"{name}-released")
        problem = problem_for(made, (1, 8, 8), 4)
        assert isinstance(problem, TrainingProblem)
        learner: Learner = made(problem, made.Config())
        epochs = learner.recipe.epochs
        expected = 0.01 if epochs == 200 else 0.0001
        assert learner.learning_rate(epochs - 1) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["mtard", "fair-mtard"])
def test_mtard_does_not_go_on_without_its_natural_teacher(name: str) -> None:
    method = METHODS.get(name)
    with pytest.raises(DfrdBenchError, match="has two teachers, and this problem has no natural one"):
        method(replace(problem_for(method, (1, 8, 8), 4), natural_teacher=None), tiny_config(method))  # type: ignore[call-arg]


def test_fair_mtard_released_needs_no_natural_teacher_and_can_have_none() -> None:
    method = METHODS.get("fair-mtard-released")
    assert not method.needs_natural_teacher
    problem = problem_for(method, (1, 8, 8), 4)
    assert isinstance(problem, TrainingProblem)
    assert problem.natural_teacher is None
    with_one = replace(problem_for(METHODS.get("mtard"), (1, 8, 8), 4), seed=0)
    students = []
    for given in (problem, with_one):
        made = method(given, tiny_config(method))
        made.train_epoch(0)
        students.append(dict(made.student.state_dict()))
    assert equal(*students)
