"""Other ways to be fair than Fair-ARD's: by hand, what each changes, and nothing where it is switched off."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from dfrd_bench.methods.with_data.fat_ard import class_variance
from learners import EPOCHS, Learner, equal, made, task, trained

from dfrd_bench.distillation.lessons import Batch
from dfrd_bench.distillation.validation import held_out
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.problem import TrainingProblem
from dfrd_bench.registry import METHODS
from dfrd_bench.runs.preparation import prepare
from dfrd_bench.runs.rehearsal import rehearse, shortened_split
from dfrd_bench.runs.request import Request
from dfrd_bench.testing import problem_for

ARD_LIKE = ("gair-ard", "frl-ard", "fat-ard", "cfa-ard")
HELD_OUT = ("frl-ard", "cfa-ard")
SHARE = 0.5
ON: dict[str, dict[str, Any]] = {
    "gair-ard": {"begin": 0},
    "frl-ard": {"rate": 1.0, "tolerance": 0.0},
    "fat-ard": {},
    "cfa-ard": {"begin": 0, "average": False},
}
OFF: dict[str, list[dict[str, Any]]] = {
    "gair-ard": [{"weigh_images": False}, {"begin": 1}],
    "frl-ard": [{"rate": 0.0}, {"tolerance": 1.0}],
    "fat-ard": [{"variance_weight": 0.0}],
    "cfa-ard": [{"margins": False, "average": False}, {"begin": 1, "average": False}, {"begin": 1, "threshold": 1.0}],
}


def plain_ard(name: str) -> Learner:
    """ARD on the images that the method trains on."""
    problem = cast(TrainingProblem, task("ard"))
    return trained(made("ard", held_out(problem, SHARE)[0] if name in HELD_OUT else problem))


class TestSwitchedOff:
    @pytest.mark.parametrize(("name", "settings"), [(name, settings) for name in ARD_LIKE for settings in OFF[name]])
    def test_is_ard_to_the_bit(self, name: str, settings: dict[str, Any]) -> None:
        assert equal(trained(made(name, **settings)), plain_ard(name))

    @pytest.mark.parametrize("name", ARD_LIKE)
    def test_and_on_it_is_not(self, name: str) -> None:
        assert not equal(trained(made(name, **ON[name])), plain_ard(name))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("gair-ard", {"begin": 0.5}),
        ("frl-ard", {"rate": 1.0, "margin_rate": 0.2}),
        ("cfa-ard", {"begin": 0.3, "threshold": 0.0}),
        ("dafa", {"warmup": 1 / EPOCHS}),
        ("bat", {"fair": True}),
    ],
)
def test_goes_on_after_a_stop_as_if_there_had_been_none(name: str, settings: dict[str, Any]) -> None:
    begun, buffer = trained(made(name, **settings), last=2), io.BytesIO()
    torch.save(begun.state_dict(), buffer)
    buffer.seek(0)
    other = made(name, **settings)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert equal(trained(begun, first=2), trained(other, first=2))


class TestHeldOutImages:
    @pytest.mark.parametrize("name", HELD_OUT)
    def test_are_not_trained_on(self, name: str) -> None:
        method: Any = made(name, crop_padding=0, flip=False)
        shown = {tuple(x.flatten().tolist()) for images, _ in method.draw() for x in images}
        kept = {tuple(x.flatten().tolist()) for x in method.validation.images.float() / 255}
        assert (len(shown), len(kept), len(shown & kept)) == (12, 12, 0)

    @pytest.mark.parametrize("name", HELD_OUT)
    def test_are_counted_by_a_rehearsal(self, name: str) -> None:
        prepared = prepare(Request(name, device="cpu", settings={"attack_steps": 1, "validation_steps": 1}))
        cost = rehearse(prepared)
        assert cost.stages["distill"].steps == 12  # 897 digits, a fifth held out
        assert cost.stages["validate"].steps > 0


def test_a_rehearsal_has_two_images_of_every_class_that_has_them() -> None:
    problem = cast(TrainingProblem, problem_for(METHODS.get("ard"), (1, 8, 8), 10, images=400))
    order = problem.labels.argsort(stable=True)  # 40 of each class, and then all but two of the last are the first's
    labels = problem.labels[order].clone()
    labels[360:398] = 0
    few, share = shortened_split(replace(problem, labels=labels), 16, 2)
    assert torch.bincount(cast(TrainingProblem, few).labels, minlength=10).min() == 2
    assert share == 25 / 4  # 49 images
    plain, share = shortened_split(replace(problem, labels=labels), 16)
    assert (len(cast(TrainingProblem, plain).labels), share) == (48, 25 / 3)


@pytest.mark.parametrize("name", ["gair-ard", "frl-ard"])
def test_one_kind_of_weights_at_a_time(name: str) -> None:
    with pytest.raises(DfrdBenchError, match="take fair-ard for"):
        prepare(Request(name, settings={"fair": True}))


def test_gair_ard_begins_after_60_of_200_epochs() -> None:
    method: Any = made("gair-ard", epochs=200)
    method.train_epoch(59)
    assert not method.weighting.active
    method.train_epoch(60)
    assert method.weighting.active


class TestFRL:
    def test_weights_follow_the_errors_on_validation_images(self) -> None:
        method: Any = made("frl-ard", rate=1.0, tolerance=0.0)
        numbers = method.train_epoch(0)
        error = 1 - np.array([numbers[f"validation/{k}"] for k in range(4)])
        multiplier = np.maximum(error - error.mean(), 0)  # as many validation images of each class
        multiplier *= min(1, 0.5 / multiplier.sum())
        assert multiplier.max() > 0
        expected = 1 + 4 * multiplier - multiplier.sum()
        assert [numbers[f"w/{k}"] for k in range(4)] == pytest.approx(expected)

    def test_with_margins_all_classes_step_by_a_quarter_of_the_largest(self) -> None:
        method: Any = made("frl-ard", margin_rate=0.5, tolerance=0.0)
        numbers = method.train_epoch(0)
        radii = [numbers[f"eps/{k}"] for k in range(4)]
        assert max(radii) > 1
        eps, step = method.margins.of(torch.arange(4), 0.1, 0.025)
        assert eps.flatten().tolist() == pytest.approx([0.1 * r for r in radii])
        assert step.flatten().tolist() == pytest.approx([0.1 * max(radii) / 4] * 4)


class TestFAT:
    LOSSES = torch.tensor([0.5, 1.5, 2.0, 3.0, 5.0])
    LABELS = torch.tensor([0, 0, 1, 3, 3])  # class means 1, 2 and 4; class 2 is absent

    def test_variance_is_over_the_classes_present(self) -> None:
        assert class_variance(self.LOSSES, self.LABELS, 4, "present").item() == pytest.approx(7 / 3)
        assert np.var([1, 2, 4], ddof=1) == pytest.approx(7 / 3)

    def test_as_released_absent_and_impossible_classes_count_as_zero(self) -> None:
        """Σ = 7, Σ² = 21: (21 − 0.49)/99, most of which is the mean squared."""
        found = class_variance(self.LOSSES, self.LABELS, 4, "released").item()
        assert found == pytest.approx((21 - 49 / 100) / 99)

    def test_of_a_single_class_is_zero(self) -> None:
        assert class_variance(self.LOSSES, torch.ones(5, dtype=torch.long), 4, "present").item() == 0

    def test_is_added_to_the_mean_loss_and_sends_a_gradient(self) -> None:
        method: Any = made("fat-ard", variance_weight=0.5, batch_size=24)
        images, labels = next(iter(method.draw()))
        numbers = method.learn(method.lesson, images, labels)
        assert numbers["loss"].item() == pytest.approx((numbers["loss_adversarial"] + numbers["loss_variance"]).item())
        losses = self.LOSSES.clone().requires_grad_()
        class_variance(losses, self.LABELS, 4, "present").backward()
        # d Var/d m_c = (m_c − mean), of three, with m_c a mean over 2, 1 and 2 images
        assert losses.grad is not None
        assert losses.grad.tolist() == pytest.approx([-2 / 3, -2 / 3, -1 / 3, 5 / 6, 5 / 6])


class TestCFA:
    def test_margins_are_half_plus_the_robust_accuracy_of_the_epoch_before(self) -> None:
        method: Any = made("cfa-ard", begin=0)
        first = method.train_epoch(0)
        assert [first[f"eps/{k}"] for k in range(4)] == [1.0] * 4
        second = method.train_epoch(1)
        expected = [0.5 + first[f"robust/{k}"] for k in range(4)]
        assert [second[f"eps/{k}"] for k in range(4)] == pytest.approx(expected)
        assert len(set(expected)) > 1

    def test_margins_begin_after_10_of_200_epochs(self) -> None:
        method: Any = made("cfa-ard", epochs=200, average=False)
        for epoch, alike in ((8, True), (9, True), (10, False)):
            numbers = method.train_epoch(epoch)
            assert (len({numbers[f"eps/{k}"] for k in range(4)}) == 1) is alike, epoch

    def test_robust_accuracy_is_that_of_the_pass_of_the_loss(self) -> None:
        method: Any = made("cfa-ard", batch_size=24)
        again: Any = made("cfa-ard", batch_size=24)
        images, labels = next(iter(again.draw()))
        found = again.lesson(again.student.train(), again_batch(again, images, labels), again.rng)
        right = found.adversarial.argmax(dim=1) == labels
        shares = [right[labels == k].double().mean().item() for k in range(4)]
        numbers = method.train_epoch(0)
        assert [numbers[f"robust/{k}"] for k in range(4)] == pytest.approx(shares)

    def test_the_student_is_the_average_of_the_fair_epochs_in_the_end(self) -> None:
        method: Any = made("cfa-ard", threshold=0.0, average_decay=0.75)
        seen = []
        for epoch in range(EPOCHS):
            method.average.update, update = seen_by(seen, method.average.update), method.average.update
            method.train_epoch(epoch)
            method.average.update = update
        name = "conv1.weight"
        expected = 0.75 * (0.75 * seen[0][name] + 0.25 * seen[1][name]) + 0.25 * seen[2][name]
        torch.testing.assert_close(method.student.state_dict()[name], expected)
        assert method.findings() == ()

    def test_epochs_below_the_threshold_are_left_out_and_said(self) -> None:
        method: Any = trained(made("cfa-ard", threshold=1.0))
        assert method.average.weights == {}
        assert equal(method, trained(made("cfa-ard", average=False)))
        (finding,) = method.findings()
        assert "No epoch's worst class had a robust accuracy of 1" in finding


def seen_by(seen: list[dict[str, torch.Tensor]], update: Any) -> Any:
    """An update that also notes what is let in."""

    def noting(network: Any) -> None:
        seen.append({name: value.clone() for name, value in network.state_dict().items()})
        update(network)

    return noting


def again_batch(method: Any, images: torch.Tensor, labels: torch.Tensor) -> Batch:
    x = method.problem.precision.images(images)
    with torch.no_grad():
        return Batch(x, labels, method.problem.precision.logits(method.problem.teacher, x))
