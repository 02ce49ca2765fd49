"""Passes through teacher and student: counted as one counts them by hand, and without a trace in what is computed."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from dfrd_bench.methods.data_free.ferd import FERD
from dfrd_bench.methods.data_free.zskt import ZSKT
from torch import nn
from torch._dynamo.testing import CompileCounter

from dfrd_bench.method import Method
from dfrd_bench.observer import SILENT, Observer
from dfrd_bench.records.schema import PassesRecord, TrainingRecord
from dfrd_bench.runs import epochs
from dfrd_bench.runs.epochs import train_epochs
from dfrd_bench.runs.passes import Passes

BATCH, STUDENT_STEPS, ATTACK_STEPS = 4, 3, 2
SMALL = {
    **{"epochs": 2, "batch_size": BATCH, "warmup_epochs": 0, "distillation_steps": STUDENT_STEPS},
    **{"attack_steps": ATTACK_STEPS, "generator_width": 4, "latent_dim": 8},
}
FERD_STEPS = 5  # of synthesis
FERD_SMALL = {**SMALL, "synthesis_steps": FERD_STEPS, "reweighting": False, "bottleneck_steps": 2}


def make(method: type[Method], **settings: Any) -> Method:
    return method(tiny.problem(), method.Config(**settings))


def train(method: Method, folder: Path, observer: Observer = SILENT, *, counted: bool = True) -> TrainingRecord:
    networks = {"teacher": method.problem.teacher, "student": method.problem.student} if counted else {}
    return train_epochs(
        method,
        method.config.epochs,
        settings={},
        folder=folder,
        device=tiny.CPU,
        observer=observer,
        networks=networks,
    )


def in_batches(training: TrainingRecord) -> tuple[float, ...]:
    """Teacher forward and backward, student forward and backward, per epoch; and the student's steps."""
    assert training.passes is not None
    *images, steps = training.passes.model_dump().values()
    return (*(total / BATCH / training.epochs for total in images), steps / training.epochs)


@pytest.mark.parametrize("models", ["teacher", "both"])  # with both, the student's `forward` is called, not the student
def test_ferd_costs_what_its_algorithm_says(tmp_path: Path, models: str) -> None:
    training = train(make(FERD, **FERD_SMALL, bn_models=models), tmp_path)
    teacher = (
        STUDENT_STEPS + FERD_STEPS + 1
    )  # the targets of each student step, each generator step, and the batch kept
    student = STUDENT_STEPS * (ATTACK_STEPS + 2) + FERD_STEPS  # attack, and the two terms of the loss on x and on x_adv
    assert in_batches(training) == (teacher, FERD_STEPS, student, student, STUDENT_STEPS)


def test_the_bottleneck_runs_the_head_of_the_teacher_alone_and_that_is_no_pass(tmp_path: Path) -> None:
    few = train(make(FERD, **{**FERD_SMALL, "bottleneck_steps": 1}), tmp_path / "few")
    many = train(make(FERD, **{**FERD_SMALL, "bottleneck_steps": 9}), tmp_path / "many")
    assert few.passes == many.passes


def test_zskt_costs_what_its_algorithm_says(tmp_path: Path) -> None:
    training = train(make(ZSKT, **SMALL, generator_steps=2, student_steps=2), tmp_path)
    generator = 2 * 2  # two steps in each of the rounds of 2 and 1 student steps
    student = STUDENT_STEPS * (ATTACK_STEPS + 2) + generator
    assert in_batches(training) == (STUDENT_STEPS + generator, generator, student, student, STUDENT_STEPS)


def test_without_the_conversion_a_student_step_is_one_pass(tmp_path: Path) -> None:
    training = train(make(ZSKT, **SMALL, conversion=False, generator_steps=1, student_steps=3), tmp_path)
    assert in_batches(training) == (STUDENT_STEPS + 1, 1, STUDENT_STEPS + 1, STUDENT_STEPS + 1, STUDENT_STEPS)


def test_counting_changes_no_bit_of_the_student(tmp_path: Path) -> None:
    one, other = make(FERD, **FERD_SMALL), make(FERD, **FERD_SMALL)
    assert train(one, tmp_path / "counted").last == train(other, tmp_path / "not", counted=False).last
    assert tiny.same(one.student, other.student)


@pytest.fixture
def checkpoint_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epochs, "CHECKPOINT_SHARE", float("inf"))


def stopped(folder: Path) -> Method:
    """A training that was stopped in the midst of its second epoch."""
    seen: list[str] = []

    def stop(stage: str, done: int, total: int) -> None:
        seen.extend([stage] if (stage, done) == ("distill", 2) else [])
        if len(seen) == 2:
            raise KeyboardInterrupt

    method = make(ZSKT, **SMALL)
    with pytest.raises(KeyboardInterrupt):
        train(method, folder, Observer(on_step=stop))
    return method


def test_a_stop_changes_no_total(tmp_path: Path, checkpoint_always: None) -> None:
    whole = train(make(ZSKT, **SMALL), tmp_path / "whole")
    method = stopped(tmp_path / "stopped")
    assert not {"forward", "_compiled_call_impl"} & (vars(method.student).keys() | vars(method.problem.teacher).keys())
    assert train(make(ZSKT, **SMALL), tmp_path / "stopped").passes == whole.passes is not None


def test_after_a_checkpoint_without_totals_they_are_unknown_and_not_too_small(
    tmp_path: Path, checkpoint_always: None
) -> None:
    stopped(tmp_path)
    file = tmp_path / epochs.CHECKPOINT_FOLDER / "method.pt"
    content = torch.load(file, weights_only=True)
    del content["passes"]  # as versions before this count wrote it
    torch.save(content, file)
    assert train(make(ZSKT, **SMALL), tmp_path).passes is None
    assert torch.load(file, weights_only=True)["passes"] is None


def test_steps_reported_under_another_name_are_not_known(tmp_path: Path) -> None:
    class Other(ZSKT):
        def train_epoch(self, epoch: int) -> dict[str, float]:
            report = self.progress
            self.progress = lambda stage, done, total: report("learn", done, total)
            try:
                return super().train_epoch(epoch)
            finally:
                self.progress = report

    passes = train(make(Other, **SMALL), tmp_path).passes
    assert passes is not None
    assert passes.student_steps is None
    assert passes.student_forward > 0


@pytest.fixture
def linear() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))


@pytest.fixture
def passes(linear: nn.Module) -> Iterator[Passes]:
    counted = Passes({"student": linear})
    with counted.counting():
        yield counted


def images(passes: Passes) -> tuple[int, int]:
    record = passes.record()
    assert record is not None
    return record.student_forward, record.student_backward


def test_an_image_counts_backward_whenever_a_gradient_comes_back(linear: nn.Module, passes: Passes) -> None:
    x = torch.rand(5, 3)
    with torch.no_grad():
        linear(x)
    assert images(passes) == (5, 0)
    logits = linear(x)
    assert images(passes) == (10, 0)
    logits.sum().backward(retain_graph=True)
    assert images(passes) == (10, 5)
    logits.sum().backward()
    assert images(passes) == (10, 10)
    linear.requires_grad_(False)
    linear(x)
    linear(x.requires_grad_()).sum().backward()
    assert images(passes) == (20, 15)


def test_a_part_of_a_network_is_no_pass_of_it(linear: nn.Module, passes: Passes) -> None:
    next(iter(linear.children()))(torch.rand(5, 3)).sum().backward()
    assert images(passes) == (0, 0)


def test_a_copy_made_meanwhile_runs_itself_and_is_not_counted(linear: nn.Module, passes: Passes) -> None:
    x, clone = torch.rand(5, 3), copy.deepcopy(linear)
    with torch.no_grad():
        for weights in clone.parameters():
            weights.zero_()
    assert torch.equal(clone(x), torch.zeros(5, 2))
    assert images(passes) == (0, 0)


def test_a_compiled_network_is_counted_once_a_call_and_compiled_no_more_often() -> None:
    def learn(*, counted: bool) -> tuple[nn.Module, PassesRecord | None, int]:
        """Three epochs of a compiled call with a gradient, one without, and a call past the compiler."""
        torch._dynamo.reset()
        network, graphs, x = tiny.SmallConv(), CompileCounter(), tiny.random_images(5)
        network.compile(backend=graphs)
        passes = Passes({"student": network})
        optimiser = torch.optim.SGD(network.parameters(), lr=0.01)
        for _ in range(3):
            with passes.counting() if counted else nullcontext():
                network(x).logsumexp(dim=1).sum().backward()
                optimiser.step()
                with torch.no_grad():
                    network(x)
                    network.forward(x)
        return network, passes.record(), graphs.frame_count

    (one, record, graphs), (other, _, as_many) = learn(counted=True), learn(counted=False)
    assert record is not None
    assert (record.student_forward, record.student_backward) == (3 * 3 * 5, 3 * 5)
    assert graphs == as_many > 0
    assert tiny.same(one, other)


@pytest.mark.parametrize("own", [False, True])
def test_a_network_is_left_as_it_was(linear: nn.Module, own: bool) -> None:
    if own:
        linear.forward = lambda x: torch.ones(len(x), 2)  # type: ignore[method-assign]
    before, hooks = dict(vars(linear)), [dict(m._forward_hooks) for m in linear.modules()]
    passes = Passes({"student": linear})

    def use() -> None:
        with passes.counting():
            assert bool((linear(torch.rand(4, 3)) == 1).all()) is own
            assert [dict(m._forward_hooks) for m in linear.modules()] == hooks
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        use()
    assert vars(linear) == before
    linear(torch.rand(4, 3))
    assert images(passes) == (4, 0)
    with passes.counting() if own else nullcontext():
        linear(torch.rand(4, 3))
    assert images(passes) == (8 if own else 4, 0)
