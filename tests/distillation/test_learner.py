"""Passes over the training images, the schedule, and that a weighting acts on every image's loss."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from dfrd_bench.distillation.learner import Learner, LearnerConfig
from dfrd_bench.distillation.lessons import Batch
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.problem import Precision
from dfrd_bench.registry import METHODS
from dfrd_bench.runs.preparation import prepare
from dfrd_bench.runs.request import Request
from dfrd_bench.testing import problem_for, tiny_config, toy_training_problem

ATTACKED = ("sat", "trades", "ard", "iad", "rslad")
SHARED = ("ard", "iad", "rslad")


def learner(name: str, *, images: int = 24, **settings: Any) -> Learner:
    method = METHODS.get(name)
    problem = problem_for(method, (1, 8, 8), 4, images=images)
    made: Learner = method(problem, tiny_config(method, settings))
    return made


def weights_after(name: str, epochs: int = 3, **settings: Any) -> dict[str, torch.Tensor]:
    trained = learner(name, epochs=epochs, **settings)
    for epoch in range(epochs):
        trained.train_epoch(epoch)
    return dict(trained.student.state_dict())


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


class TestFair:
    @pytest.mark.parametrize("name", SHARED)
    def test_with_beta_zero_is_the_vanilla_method_to_the_bit(self, name: str) -> None:
        assert equal(weights_after(f"fair-{name}", beta=0), weights_after(name))
        assert not equal(weights_after(f"fair-{name}"), weights_after(name))

    @pytest.mark.parametrize("name", SHARED)
    def test_x_is_x_with_fair_set(self, name: str) -> None:
        assert equal(weights_after(f"fair-{name}"), weights_after(name, fair=True))

    @pytest.mark.parametrize("name", ATTACKED)
    def test_weighs_the_first_epoch_alike_and_logs_kappa_and_weights(self, name: str) -> None:
        assert equal(weights_after(name, epochs=1, fair=True), weights_after(name, epochs=1))
        numbers = learner(name, fair=True).train_epoch(0)
        kappa, weights = ([numbers[f"{what}/{k}"] for k in range(4)] for what in ("kappa", "w"))
        assert all(0 <= value <= 2 for value in kappa)  # steps
        assert sum(weights) == pytest.approx(4, abs=1e-5)

    def test_every_term_of_the_loss_is_weighted_by_the_images_class(self) -> None:
        made, alike = (learner("trades", fair=True, batch_size=24) for _ in range(2))
        made.weighting.weights = torch.tensor([2.0, 0.0, 0.0, 0.0])  # type: ignore[attr-defined]
        images, labels = next(iter(made.draw()))
        next(iter(alike.draw()))  # the same random draws
        found = alike.lesson(alike.student.train(), Batch(images, labels), alike.rng)
        numbers = made.learn(made.lesson, images, labels)
        assert (labels == 0).sum() == 6
        for name, term in found.terms.items():
            torch.testing.assert_close(numbers[f"loss_{name}"], 2 * term[labels == 0].sum().detach() / 24)

    def test_cannot_be_asked_of_training_without_an_attack(self) -> None:
        with pytest.raises(DfrdBenchError, match="Unknown hyper-parameter of natural 'fair'"):
            prepare(Request("natural", settings={"fair": True}))


class TestPasses:
    @pytest.mark.parametrize(("images", "batch"), [(24, 8), (25, 8), (9, 8), (17, 16), (4, 128)])
    def test_show_every_image_once_in_batches_of_two_or_more(self, images: int, batch: int) -> None:
        made = learner("natural", images=images, batch_size=batch, crop_padding=0, flip=False)
        drawn = list(made.draw())
        assert len(drawn) == made.batches
        sizes = [len(labels) for _, labels in drawn]
        assert sum(sizes) == images
        assert 2 <= min(sizes) <= max(sizes) <= max(batch, 3)
        shown = torch.cat([x for x, _ in drawn]).flatten(1)
        there = made.problem.images.float().flatten(1) / 255
        assert sorted(shown.tolist()) == sorted(there.tolist())

    def test_come_in_another_order_each_time_with_the_images_own_labels(self) -> None:
        made = learner("natural", crop_padding=0, flip=False)
        first, second = (torch.cat([y for _, y in made.draw()]) for _ in range(2))
        assert first.tolist() != second.tolist()
        images, labels = made.problem.images.float() / 255, made.problem.labels
        of = {tuple(x.flatten().tolist()): int(y) for x, y in zip(images, labels, strict=True)}
        for drawn, whose in made.draw():
            assert [of[tuple(x.flatten().tolist())] for x in drawn] == whose.tolist()

    def test_are_augmented(self) -> None:
        made = learner("natural", crop_padding=2)
        shown = {tuple(x.flatten().tolist()) for images, _ in made.draw() for x in images}
        there = {tuple(x.flatten().tolist()) for x in made.problem.images.float() / 255}
        assert len(shown - there) > 12

    def test_leave_the_images_as_they_were(self) -> None:
        made = learner("trades")
        before = made.problem.images.clone()
        made.train_epoch(0)
        assert torch.equal(made.problem.images, before)
        made.sample(3)
        assert torch.equal(made.problem.images, before)


class TestSchedule:
    @pytest.mark.parametrize(
        ("name", "epochs", "falls"),
        [
            *(("ard", 200, [100, 150]), ("iad", 200, [100, 150]), ("sat", 200, [100, 150])),
            *(("rslad", 300, [215, 260, 285]), ("trades", 100, [75, 90]), ("fair-rslad", 300, [215, 260, 285])),
        ],
    )
    def test_by_default_falls_after_the_papers_epochs(self, name: str, epochs: int, falls: list[int]) -> None:
        method = METHODS.get(name)
        config = method.Config()
        made = method(problem_for(method), config)
        assert config.epochs == epochs
        rates = [made.learning_rate(epoch) for epoch in range(epochs)]
        assert [e for e in range(1, epochs) if rates[e] != rates[e - 1]] == falls
        assert rates[-1] == pytest.approx(0.1 * 0.1 ** len(falls))

    def test_of_the_released_ard_whose_second_fall_does_nothing_can_be_had(self) -> None:
        made = learner("ard", epochs=200, decay_at=[0.5])
        assert [made.learning_rate(e) for e in (0, 99, 100, 150, 199)] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.01])

    def test_is_what_the_optimiser_gets(self) -> None:
        made = learner("natural", epochs=4, lr=0.4)
        rates = []
        for epoch in range(4):
            assert made.train_epoch(epoch)["lr"] == pytest.approx(made.optimiser.param_groups[0]["lr"])
            rates.append(made.optimiser.param_groups[0]["lr"])
        assert rates == pytest.approx([0.4, 0.4, 0.04, 0.004])

    def test_of_iad_begins_to_ask_itself_after_60_of_200_epochs(self) -> None:
        made = learner("iad", epochs=200)
        assert [made.lesson_at(e).introspection for e in (0, 59, 60, 199)] == [False, False, True, True]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"nesterov": True, "momentum": 0}, {"decay_at": [1.5]}, {"decay_at": 0.5}, {"batch_size": 1}, {"lr": 0}),
        *({"epochs": 0}, {"ema": 1.0}, {"schedule": "linear"}, {"lr_warmup": 1}),
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LearnerConfig(**wrong)


@pytest.mark.parametrize("name", ["natural", "trades", "fair-iad", "rslad"])
def test_bfloat16_trains_too_with_losses_in_float32(name: str) -> None:
    method = METHODS.get(name)
    problem = replace(problem_for(method), precision=Precision("bf16"))
    made = method(problem, tiny_config(method))
    assert all(value > 0 for key, value in made.train_epoch(0).items() if key.startswith("loss"))
    assert {p.dtype for p in made.student.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", ["natural", "sat", "trades"])
def test_a_method_without_a_teacher_asks_none(name: str) -> None:
    method = METHODS.get(name)
    assert not method.has_teacher
    problem = replace(toy_training_problem(), teacher=None)  # type: ignore[arg-type]
    assert method(problem, tiny_config(method)).train_epoch(0)["loss"] > 0
