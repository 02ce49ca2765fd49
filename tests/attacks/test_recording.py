"""Work that is recorded on a GPU does what it does without, counts what it counts, and draws what it draws."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from dfrd_bench.benchmarks.speed.cases import METHODS, Case
from dfrd_bench.benchmarks.speed.trainers import ours
from torch import Tensor, nn

from dfrd_bench.attacks.recording import Recorder
from dfrd_bench.attacks.tally import TALLY, Tally, tally_of
from dfrd_bench.problem import Precision
from dfrd_bench.runs.passes import Passes

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
CUDA = torch.device("cuda")
SHORT: dict[str, Any] = {
    **{"epochs": 3, "warmup_epochs": 0, "synthesis_rounds": 1, "synthesis_steps": 5, "distillation_steps": 6},
    **{"generator_steps": 2, "student_steps": 2},
}


def test_on_a_cpu_the_work_is_done_as_it_is() -> None:
    calls = []

    def work(x: Tensor) -> dict[str, Tensor]:
        calls.append(x)
        return {"twice": 2 * x}

    recorded = Recorder(torch.device("cpu")).of(work)
    for number in range(5):
        assert recorded(torch.tensor(float(number)))["twice"] == 2 * number
    assert len(calls) == 5


def test_a_network_that_is_not_counted_has_a_tally_that_nobody_reads() -> None:
    network = nn.Linear(1, 1)
    tally_of(network).add(3, 2)
    assert tally_of(network) == Tally(0, 0)
    vars(network)[TALLY] = Tally(1, 1)
    tally_of(network).add(3, 2)
    assert tally_of(network) == Tally(4, 3)


@gpu
def test_a_replay_reads_weights_draws_and_inputs_as_they_are_now() -> None:
    weight = torch.ones(3, device=CUDA, requires_grad=True)

    def work(x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        noise = torch.randn(3, generator=generator, device=CUDA)
        loss = (weight * x + noise).square().sum()
        weight.grad = None
        loss.backward()
        return {"loss": loss.detach()}

    def run(possible: bool) -> list[tuple[float, list[float]]]:
        generator = torch.Generator(CUDA).manual_seed(3)
        recorder = Recorder(CUDA, generator=generator, possible=possible)
        recorded = recorder.of(lambda x: work(x, generator), lambda: [weight])
        found = []
        for number in range(8):
            with torch.no_grad():
                weight.fill_(number)
            loss = recorded(torch.full((3,), float(number), device=CUDA))["loss"]
            assert weight.grad is not None
            found.append((float(loss), weight.grad.tolist()))
            torch.randn(5, generator=generator, device=CUDA)  # somebody else draws in between
        assert (recorded.recording is not None) == possible
        return found

    assert run(True) == run(False)


@gpu
def test_work_that_waits_for_the_gpu_is_done_as_it_is_and_draws_on(caplog: pytest.LogCaptureFixture) -> None:
    def run(possible: bool) -> list[float]:
        generator = torch.Generator(CUDA).manual_seed(3)

        def work() -> dict[str, Tensor]:
            return {"drawn": torch.full((), float(torch.rand((), generator=generator, device=CUDA)), device=CUDA)}

        def fine() -> dict[str, Tensor]:
            return {"drawn": torch.rand((), generator=generator, device=CUDA)}

        recorder = Recorder(CUDA, generator=generator, possible=possible)
        both = recorder.of(fine), recorder.of(work)
        return [float(recorded()["drawn"]) for _ in range(6) for recorded in both]

    with caplog.at_level(logging.WARNING):
        assert run(True) == run(False)
    assert sum("CUDA graph" in record.message for record in caplog.records) == 1


def trained(method: str, replays: bool, precision: str) -> tuple[dict[str, float], Tensor, Any, Any]:
    """Three short epochs: the last numbers, the student's weights, the passes, and the method."""
    case = Case("random", CUDA, Precision(precision), batch_size=16)  # type: ignore[arg-type]
    known = case.config(method).model_dump()
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.deterministic = True
    try:
        with case.precision.backends(same_shapes=False):
            trainer: Any = ours(case, method, **{name: value for name, value in SHORT.items() if name in known})
            trainer.recorder.possible = replays
            passes = Passes({"teacher": trainer.problem.teacher, "student": trainer.problem.student})
            with passes.counting():
                numbers = [trainer.train_epoch(epoch) for epoch in range(3)][-1]
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.deterministic = before[1]
    weights = torch.cat([p.detach().flatten() for p in trainer.student.parameters()])
    return numbers, weights, passes.record(), trainer


@gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", METHODS)
def test_a_training_replayed_is_the_training_itself(
    method: str, precision: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        numbers, weights, passes, trainer = trained(method, True, precision)
    assert not [record.message for record in caplog.records if "CUDA graph" in record.message]
    assert trainer.lesson.recording is not None
    expected, same_weights, same_passes, _ = trained(method, False, precision)
    assert passes == same_passes
    near = 0.1 if method == "cmi" else 1e-4  # the way back through CMI's resized crops adds up in any order
    assert numbers == pytest.approx(expected, rel=near, abs=1e-4)
    assert float((weights - same_weights).norm() / same_weights.norm()) < near
