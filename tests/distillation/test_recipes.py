"""Lessons and class weights on images without data: the objects of methods with data, on a generator's images."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor

from dfrd_bench.distillation.conversion import LessonDistillation, RobustDistillation
from dfrd_bench.distillation.distiller import Distiller, DistillerConfig
from dfrd_bench.distillation.inner_attack import InnerAttack
from dfrd_bench.distillation.lessons import Batch, Lesson
from dfrd_bench.distillation.teacher_lessons import ARDLesson, IADLesson, RSLADLesson
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.problem import Precision
from dfrd_bench.registry import METHODS
from dfrd_bench.testing import check_method, problem_for, tiny_config

WITH_DATA = ("rslad", "ard", "iad", "absld", "adaad", "igdm", "sat", "trades")
NAMED = (*WITH_DATA, "soft-trades")
X = tiny.random_images(12)


class Bare(Distiller):
    """A distiller whose images are handed to it."""

    def train_epoch(self, epoch: int) -> dict[str, float]:
        rate = self.begin_epoch(epoch)
        loss = float(self.distill(X))
        return {"loss": loss, "lr": rate, **self.end_epoch()}

    def sample(self, n: int) -> Tensor:
        return X[:n]


def bare(kind: type[Bare] = Bare, **settings: Any) -> Bare:
    usual = {"lr": 0.05, "attack_steps": 3, "warmup_epochs": 0, "epochs": 10}
    return kind(tiny.problem(), DistillerConfig(**{**usual, **settings}))


def made(name: str, **settings: Any) -> Any:
    method = METHODS.get(name)
    return method(problem_for(method, (1, 8, 8), 4), tiny_config(method, settings))


def student_of(name: str, **settings: Any) -> dict[str, Tensor]:
    trained = made(name, **settings)
    for epoch in range(trained.config.epochs):
        trained.train_epoch(epoch)
    return dict(trained.student.state_dict())


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def lesson(name: str, method: Bare) -> Lesson:
    """Written out: what the method with data of that name teaches by default, at 3 steps of attack."""
    start: Any = "noise" if name == "rslad" else "uniform"
    away: Any = "teacher" if name == "rslad" else "label"
    mode: Any = "eval" if name == "rslad" else "train"
    attack = InnerAttack(problem=method.problem, away=away, steps=3, start=start, mode=mode)
    if name == "rslad":
        return RSLADLesson(attack)
    return ARDLesson(attack, temperature=30.0) if name == "ard" else IADLesson(attack, introspection=False)


class TestLessons:
    @pytest.mark.parametrize("name", ["rslad", "ard", "iad"])
    def test_give_the_loss_of_the_method_with_data_on_the_same_images(self, name: str) -> None:
        method = bare(conversion=name)
        student, source = copy.deepcopy(method.student).train(), torch.Generator().set_state(method.rng.get_state())
        taught = method.problem.teacher(X)
        found = lesson(name, method)(student, Batch(X, taught.argmax(1), taught), source)
        expected = sum(float(term.detach().mean()) for term in found.terms.values())
        method.begin_epoch(0)
        assert float(method.distill(X)) == pytest.approx(expected, rel=1e-6)
        assert torch.equal(method.rng.get_state(), source.get_state())
        for key, value in method.student.state_dict().items():
            if "running" in key:  # BatchNorm saw the same passes in the same order
                torch.testing.assert_close(value, student.state_dict()[key], msg=key)

    @pytest.mark.parametrize("name", WITH_DATA)
    def test_are_by_default_what_the_method_with_data_is(self, name: str) -> None:
        there, here = METHODS.get(name).Config(), DistillerConfig(conversion=name)
        shared = ("attack_steps", "attack_step", "attack_start", "attack_mode", "adversarial_weight", "reduction")
        shared += (
            "temperature",
            "alpha",
            "trust_exponent",
            "begin",
            "robust_weight",
            "temperature_rate",
            "temperatures",
            "risk",
            "beta",
            "clamp",
            "count",
            "sizes",
        )
        for field in shared:
            if field in type(there).model_fields:
                assert getattr(here, field) == getattr(there, field), field

    def test_of_rslad_weigh_as_rslad_does_also_on_ferds_images(self) -> None:
        assert made("ferd", conversion="rslad").named_lesson.adversarial_weight == pytest.approx(5 / 6)
        assert made("ferd", conversion="rslad", adversarial_weight=0.5).named_lesson.adversarial_weight == 0.5

    def test_take_what_is_said_of_them(self) -> None:
        method = bare(conversion="ard", attack_start="noise", attack_mode="eval", temperature=4.0, alpha=0.25)
        taught = method.named_lesson
        assert isinstance(taught, ARDLesson)
        assert (taught.attack.start, taught.attack.mode, taught.temperature, taught.alpha) == ("noise", "eval", 4, 0.25)

    def test_iad_asks_itself_after_a_share_of_the_students_own_epochs(self) -> None:
        method = bare(conversion="iad", epochs=15, warmup_epochs=5)  # begins after 0.3 of 10
        asks = []
        for epoch in range(5, 15):
            method.begin_epoch(epoch)
            assert isinstance(method.distillation, LessonDistillation)
            assert isinstance(method.distillation.lesson, IADLesson)
            asks.append(method.distillation.lesson.introspection)
        assert asks == [False] * 3 + [True] * 7

    def test_igdm_matches_gradients_with_a_weight_that_grows_over_the_students_own_epochs(self) -> None:
        method = bare(conversion="igdm", epochs=9, warmup_epochs=5, gradient_weight=8.0)
        weights = []
        for epoch in range(5, 9):
            method.begin_epoch(epoch)
            weights.append(method.distillation.lesson.weight)  # type: ignore[union-attr]
        assert weights == [2, 4, 6, 8]

    def test_absld_moves_temperatures_of_the_classes_that_were_drawn_and_a_checkpoint_keeps_them(self) -> None:
        method = bare(conversion="absld", epochs=4)
        labels = set(method.problem.teacher(X).argmax(1).tolist())
        numbers = method.train_epoch(0)
        for kind in ("adv", "nat"):
            moved = {k for k in range(method.problem.num_classes) if numbers[f"tau_{kind}/{k}"] != 1}
            assert moved
            assert moved <= labels
            furthest = max(abs(numbers[f"tau_{kind}/{k}"] - 1) for k in moved)
            assert furthest == pytest.approx(0.1 * (1 + math.cos(math.pi / 4)) / 2)  # ρ, as lr of the next epoch
        later = bare(conversion="absld", epochs=4)
        later.load_state_dict(method.state_dict())
        assert torch.equal(later.temperatures.values, method.temperatures.values)  # type: ignore[union-attr]
        assert later.named_lesson.temperatures is later.temperatures  # type: ignore[union-attr]

    @pytest.mark.parametrize("name", ["fast", "zskt", "noise"])
    def test_are_other_ways_to_learn(self, name: str) -> None:
        students = [student_of(name, conversion=conversion) for conversion in (True, False, "ard", "trades")]
        for i, one in enumerate(students):
            assert not any(equal(one, other) for other in students[:i])

    def test_plain_is_no_conversion(self) -> None:
        assert DistillerConfig(conversion="plain") == DistillerConfig(conversion=False)

    def test_need_the_epochs_of_a_plugin_told(self) -> None:
        with pytest.raises(DfrdBenchError, match=r"Bare\.train_epoch must begin with begin_epoch"):
            bare(conversion="ard").distill(X)
        assert float(bare().distill(X)) > 0


class TestLabels:
    def test_are_the_teachers_decisions_and_the_share_of_others_is_told(self) -> None:
        method = bare(conversion="sat")
        labels = method.problem.teacher(X).argmax(1)
        made_for = labels.clone()
        made_for[:3] = (labels[:3] + 1) % method.problem.num_classes
        method.begin_epoch(0)
        assert torch.equal(method.distill(X, made_for), _first_loss(conversion="sat"))
        assert method.end_epoch()["relabelled"] == pytest.approx(3 / 12)

    def test_share_is_told_of_images_that_were_made_for_a_class(self) -> None:
        assert 0 <= made("fast", conversion="ard", warmup_epochs=0).train_epoch(0)["relabelled"] <= 1
        assert "relabelled" not in made("zskt", conversion="ard").train_epoch(0)
        assert "relabelled" not in made("fast", warmup_epochs=0).train_epoch(0)


def _first_loss(**settings: Any) -> Tensor:
    method = bare(**settings)
    method.begin_epoch(0)
    return method.distill(X)


class TestFair:
    @pytest.mark.parametrize("name", ["fast", "zskt", "ferd", "noise"])
    @pytest.mark.parametrize("conversion", [True, "ard"])
    def test_with_beta_zero_is_not_fair_to_the_bit(self, name: str, conversion: Any) -> None:
        alike = student_of(name, conversion=conversion)
        assert equal(student_of(name, conversion=conversion, fair=True, beta=0), alike)
        if name != "zskt":  # its first images are all of one class to the toy teacher
            assert not equal(student_of(name, conversion=conversion, fair=True), alike)

    @pytest.mark.parametrize("conversion", [True, *NAMED])
    def test_weighs_every_images_loss_by_its_class(self, conversion: Any) -> None:
        """Twice the weight on one class, and none on the others, is twice the loss."""
        method, alike = bare(conversion=conversion, fair=True), bare(conversion=conversion, fair=True)
        labels = method.problem.teacher(X).argmax(1)
        chosen = int(labels.mode().values)
        share = float((labels == chosen).float().mean())
        for m, weight in ((method, 2.0), (alike, 1.0)):
            m.weighting.weights = torch.zeros(m.problem.num_classes)  # type: ignore[union-attr]
            m.weighting.weights[chosen] = weight  # type: ignore[union-attr]
            m.begin_epoch(0)
        assert 0 < share < 1
        assert float(method.distill(X)) == pytest.approx(2 * float(alike.distill(X)), rel=1e-5)

    def test_kappa_is_the_mean_over_the_images_drawn_in_the_epoch(self) -> None:
        """The attack of the first step, once more, on the untrained student."""
        method = bare(conversion="ard", fair=True)
        student, source = copy.deepcopy(method.student).train(), torch.Generator().set_state(method.rng.get_state())
        taught = method.problem.teacher(X)
        labels = taught.argmax(1)
        withstood = lesson("ard", method)(student, Batch(X, labels, taught), source).withstood
        assert withstood is not None
        numbers = method.train_epoch(0)
        for k in range(method.problem.num_classes):
            if (labels == k).any():
                assert numbers[f"kappa/{k}"] == pytest.approx(float(withstood[labels == k].mean()))
            else:
                assert f"kappa/{k}" not in numbers
                assert numbers[f"w/{k}"] == 1

    def test_utaes_are_counted_without_being_changed(self) -> None:
        method, fair = made("ferd", warmup_epochs=0, epochs=1), made("ferd", warmup_epochs=0, epochs=1, fair=True)
        plain, counted = method.train_epoch(0), fair.train_epoch(0)
        assert counted["loss"] == plain["loss"]  # in the first epoch all classes weigh alike
        assert any(0 < value <= 2 for name, value in counted.items() if name.startswith("kappa/"))

    @pytest.mark.parametrize("settings", [{"conversion": False}, {"conversion": "plain"}])
    def test_needs_an_attack(self, settings: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="with conversion=false there is none"):
            DistillerConfig(fair=True, **settings)

    def test_cannot_weigh_in_a_distillation_that_has_no_loss_per_image(self) -> None:
        class Own(Bare):
            def make_distillation(self) -> RobustDistillation:
                return RobustDistillation(lambda model, x, z, source: 1 - x, lambda t, clean, adv: adv.mean())

        with pytest.raises(DfrdBenchError, match="fair=true cannot weigh images in Own's own distillation"):
            bare(Own, fair=True)
        assert bare(Own, fair=True, conversion="ard").train_epoch(0)["loss"] > 0

    def test_cannot_weigh_where_utaes_attack_the_teacher(self) -> None:
        with pytest.raises(DfrdBenchError, match="FERD's own distillation"):
            made("ferd", fair=True, attack_model="teacher")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("fast", {"conversion": "iad", "fair": True}),
        ("ferd", {"fair": True, "strategy": "power"}),
        ("zskt", {"conversion": "ard", "fair": True}),
        ("fast", {"conversion": "absld", "fair": True}),
        ("noise", {"conversion": "igdm"}),
        ("noise", {"conversion": "trades", "fair": True, "clamp": "released"}),
    ],
)
def test_the_contract_holds_and_a_stop_changes_nothing(name: str, settings: dict[str, Any]) -> None:
    check_method(METHODS.get(name), config=settings)


@pytest.mark.parametrize("conversion", [True, "ard"])
def test_bfloat16_trains_too(conversion: Any) -> None:
    method = METHODS.get("fast")
    problem = replace(problem_for(method), precision=Precision("bf16"))
    trained = method(problem, tiny_config(method, {"conversion": conversion, "fair": True, "warmup_epochs": 0}))
    assert trained.train_epoch(0)["loss"] > 0
