"""The benchmark of speed compares like with like, and says when it does not."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from dfrd_bench.benchmarks.speed import agreement as agreeing
from dfrd_bench.benchmarks.speed.agreement import Agreement, agreement
from dfrd_bench.benchmarks.speed.cases import METHODS, Case
from dfrd_bench.benchmarks.speed.plain.trainer import PlainStudent
from dfrd_bench.benchmarks.speed.startup import write_records
from dfrd_bench.benchmarks.speed.timing import Pair, Stopwatch, in_turn
from dfrd_bench.benchmarks.speed.trainings import PROGRAMS, Training, table, train

from dfrd_bench.problem import Precision

TINY: dict[str, Any] = {
    "generator_width": 8,
    "bottleneck_steps": 2,
    "attack_steps": 2,
    "probe_steps": 2,
    "negatives": 8,
}


def agreed(method: str) -> Agreement:
    """Two epochs of two steps on eight images."""
    case = Case("digits", torch.device("cpu"), Precision(), batch_size=8)
    known = case.config(method).model_dump()
    return agreement(case, method, steps=2, **{name: value for name, value in TINY.items() if name in known})


@pytest.mark.parametrize("method", METHODS)
def test_ours_and_the_plain_recipe_have_the_same_losses(method: str) -> None:
    found = agreed(method)
    assert found.steps >= 6
    assert found.holds, found


def test_another_loss_of_the_student_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = PlainStudent.student_loss
    monkeypatch.setattr(PlainStudent, "student_loss", lambda self, x, logits: 1.001 * loss(self, x, logits))
    found = agreed("ferd")
    assert not found.holds
    assert found.where.startswith("student")
    assert 2e-4 < found.difference < 1.1e-3


def test_a_missing_step_is_no_agreement_and_neither_is_a_nan() -> None:
    one = agreeing.Notes([("student", {"loss": 1.0}), ("student", {"loss": 1.0})])
    assert agreeing.compared("x", one, agreeing.Notes(one.steps[:1])).difference == math.inf
    nan = agreeing.Notes([("student", {"loss": 1.0}), ("student", {"loss": math.nan})])
    assert not agreeing.compared("x", one, nan).holds


def test_disagreement_is_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreeing, "agreement", lambda case, method, steps: Agreement(method, 3, 0.5, "student, step 1"))
    outcome = tiny.command("bench", "agreement", "--methods", "zskt")
    assert outcome.code == 1
    assert "zskt           DIFFERS" in outcome.out


def test_turns_alternate_and_the_first_does_not_count() -> None:
    order: list[str] = []

    def turn(name: str, seconds: list[float]) -> Any:
        def once() -> dict[str, tuple[float, float]]:
            order.append(name)
            return {"step": (seconds.pop(0), 1.0)}

        return once

    ticks: list[int] = []
    theirs, mine = turn("plain", [100.0, 4.0, 6.0, 8.0]), turn("ours", [0.1, 2.0, 2.0, 4.0])
    pairs = in_turn(theirs, mine, repetitions=3, warmups=1, on_turn=lambda: ticks.append(1))
    assert order == ["plain", "ours"] * 4
    assert len(ticks) == 8
    row = pairs["step"].row()
    assert (row["plain_wall"], row["ours_wall"]) == (6.0, 2.0)
    assert (row["ratio_wall"], row["least_wall"], row["most_wall"]) == (3.0, 2.0, 3.0)
    assert row["ratio_processor"] == 1.0


def test_a_ratio_to_no_time_at_all_is_no_number() -> None:
    assert math.isnan(Pair([(1.0, 1.0)], [(0.0, 0.0)]).row()["ratio_wall"])


def test_the_stopwatch_divides_an_epoch_as_it_was_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that moves only where the method says it works."""
    clock = [0.0]
    monkeypatch.setattr("dfrd_bench.benchmarks.speed.timing.now", lambda device=None: (clock[0], 2 * clock[0]))

    class Method:
        def distill(self, images: Any) -> None:
            clock[0] += 5.0

        def train_epoch(self, epoch: int) -> dict[str, float]:
            clock[0] += 1.0  # a generator is made
            for step in range(4):
                self.progress("synthesize", step, 3)
                clock[0] += 10.0 if step < 3 else 2.0  # and the class weights
            for step in range(3):
                self.progress("distill", step, 2)
                if step < 2:
                    self.distill(None)
            return {}

        progress: Any = None

    found = Stopwatch(Method(), torch.device("cpu"), generator_steps=1).epoch(0)
    assert found == {"synthesis step": (10.0, 20.0), "student step": (5.0, 10.0), "rest of a round": (3.0, 6.0)}


def test_invented_records_fill_a_table(tmp_path: Path) -> None:
    write_records(tmp_path, 12)
    outcome = tiny.command("table", tmp_path, "--format", "csv")
    assert outcome.code == 0, outcome.err
    assert outcome.out.count("\n") == 7  # a heading and six methods of two seeds


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("metods",), "Unknown benchmark 'metods'. Did you mean 'methods'?"),
        (("methods", "--methods", "fred"), "Did you mean 'ferd'?"),
        (("methods", "--dataset", "digit"), "Did you mean 'digits'?"),
        (("attacks", "--attacks", "pgd"), "Did you mean 'pgd20'?"),
        (("methods", "--batch-size", "1"), "--batch-size must be 2 or more"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments: tuple[str, ...], said: str) -> None:
    outcome = tiny.command("bench", *arguments)
    assert outcome.code == 2
    assert said in outcome.err
    assert outcome.err.count("\n") == 1


class TestTrainings:
    def test_it_is_the_trained_student_that_is_attacked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A program whose training puts the shipped teacher in the student's place, of which the accuracy is known."""
        case, epochs = Case("digits", torch.device("cpu"), Precision()), list[int]()

        class Cheat:
            def __init__(self, case: Case, method: str, seed: int, **changes: Any) -> None:
                self.problem, self.config = case.problem(plain=True, seed=seed), case.config(method, **changes)

            def train_epoch(self, epoch: int) -> None:
                epochs.append(epoch)
                self.problem = replace(self.problem, student=self.problem.teacher)

        monkeypatch.setitem(PROGRAMS, "cheat", Cheat)
        found = train(case, "fast", "cheat", 3, ["clean"], epochs=2, unknown=1)
        assert epochs == [0, 1]
        assert (found.program, found.seed, found.seconds >= 0) == ("cheat", 3, True)
        assert found.average["clean"] == pytest.approx(0.9933, abs=1e-4)  # as its shipped record says
        assert found.worst["clean"] == pytest.approx(0.9770, abs=1e-4)

    def test_seeds_are_other_students_and_the_same_teacher(self) -> None:
        case = Case("digits", torch.device("cpu"), Precision())
        first, again, other = (case.problem(plain=True, seed=seed) for seed in (0, 0, 1))
        for one, another, same in ((first, again, True), (first, other, False)):
            pairs = zip(one.student.parameters(), another.student.parameters(), strict=True)
            assert all(torch.equal(p, q) for p, q in pairs) is same
            pairs = zip(one.teacher.parameters(), another.teacher.parameters(), strict=True)
            assert all(torch.equal(p, q) for p, q in pairs)

    def test_the_table_has_means_and_deviations_over_seeds(self) -> None:
        found = [Training("fast", "ours", n, 10.0 + n, {"pgd20": 0.5 + n / 10}, {"pgd20": n / 10}) for n in (0, 2)]
        heading, _, line = table(found).splitlines()
        assert heading.split() == ["method", "program", "seconds", "pgd20"]
        assert line.split() == ["fast", "ours", "11", "60.0", "±", "14.1", "/", "10.0", "±", "14.1"]
