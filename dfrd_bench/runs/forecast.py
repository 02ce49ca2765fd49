"""What a run will take, in all: its training as rehearsed, its evaluation from timed passes, and both on typical GPUs."""

from __future__ import annotations

import copy
import heapq
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dfrd_bench.observer import SILENT, OnStep
from dfrd_bench.problem import TrainingProblem
from dfrd_bench.runs.devices import TYPICAL, Device, Rate, known_gpu
from dfrd_bench.runs.guess import (
    BACK_TO_IMAGES,
    Sizes,
    efforts,
    evaluation_operations,
    sizes_of,
    training_operations,
)
from dfrd_bench.runs.preparation import Prepared
from dfrd_bench.runs.rehearsal import Cost, duration, rehearse, sample_for

if TYPE_CHECKING:
    from dfrd_bench.problem import PrecisionName

PASS_SECONDS = 4.0  # that the timed passes of a network may take, about
EVALUATED = 300  # images at once, as in an evaluation
LEAST_STEP, LEAST_CALL = (
    0.01,
    0.002,
)  # seconds on a GPU, however small a network is: docs/performance.md has 6 to 15 ms a step


@dataclass(frozen=True)
class Passes:
    """What a network takes for one image, in seconds: a pass forward, and one forward and back to the image."""

    query: float
    gradient: float


@dataclass(frozen=True)
class Evaluation:
    """An estimate of an evaluation.

    Attributes:
        seconds: of each attack.
        unknown: attacks that do not say how often they ask.
        assumes: what the averages depend on, each in a few words.
    """

    seconds: dict[str, float]
    unknown: tuple[str, ...]
    assumes: tuple[str, ...]

    @property
    def total(self) -> float:
        """Seconds of all that are known."""
        return sum(self.seconds.values())


def timed_passes(prepared: Prepared, sizes: Sizes, rate: Rate) -> Passes:
    """Time a pass and a gradient of the student, in float32 and eval mode, on as many images as there is time for."""
    import torch

    problem = prepared.problem
    affordable = int(PASS_SECONDS * rate.evaluation / (3 * BACK_TO_IMAGES * max(sizes.student, 1.0)))
    number = max(1, min(EVALUATED, affordable))
    network = copy.deepcopy(problem.student).float().eval().requires_grad_(False)
    x = torch.rand(number, *problem.shape, device=problem.device)

    def timed(work: Any) -> float:
        spent = []
        for _ in range(2):
            began = time.perf_counter()
            work()
            if problem.device.type == "cuda":
                torch.cuda.synchronize(problem.device)
            spent.append(time.perf_counter() - began)
        return min(spent) / number

    def gradient() -> None:
        seen = x.clone().requires_grad_()
        torch.autograd.grad(network(seen).sum(), seen)

    def query() -> None:
        with torch.no_grad():
            network(x)

    return Passes(timed(query), timed(gradient))


def evaluation_of(attacks: Sequence[str], sizes: Sizes, passes: Passes) -> Evaluation:
    """What attacks take that ask a network as often as they say."""
    told = efforts(attacks, sizes.classes)
    known = {name: effort for name, effort in told.items() if effort is not None}
    seconds = {
        name: sizes.test_images * (effort.queries * passes.query + effort.gradients * passes.gradient)
        for name, effort in known.items()
    }
    assumes = dict.fromkeys(effort.assumes for effort in known.values() if effort.assumes)
    return Evaluation(seconds, tuple(told.keys() - known.keys()), tuple(assumes))


def guessed_seconds(prepared: Prepared, attacks: Sequence[str], sizes: Sizes, rate: Rate) -> tuple[float, float]:
    """Of training and evaluation, by their operations at a device's rate."""
    training = training_operations(prepared.config, sizes) / rate.training
    return training, evaluation_operations(attacks, sizes) / rate.evaluation


@dataclass(frozen=True)
class Work:
    """What a run has to do, wherever it does it.

    Attributes:
        training, evaluation: floating-point operations.
        steps: of training.
        calls: batches that a network is asked about in the evaluation.
    """

    training: float
    steps: float
    evaluation: float
    calls: float

    def seconds(self, gpu: Device, precision: PrecisionName) -> float:
        """On a GPU: by its operations, but no less than what as many launches take there."""
        training = max(self.training / gpu.rate(precision), self.steps * LEAST_STEP)
        return training + max(self.evaluation / gpu.rate("fp32"), self.calls * LEAST_CALL)


def calls_of(attacks: Sequence[str], sizes: Sizes) -> float:
    """How many batches an evaluation asks about."""
    told = [effort for effort in efforts(attacks, sizes.classes).values() if effort is not None]
    batches = math.ceil(sizes.test_images / EVALUATED)
    return batches * sum(effort.queries + effort.gradients for effort in told)


def elsewhere(work: Work, precision: PrecisionName) -> str:
    """What it takes on typical GPUs, in words."""
    gpus = filter(None, map(known_gpu, TYPICAL))
    return ", ".join(f"{gpu.name} {duration(work.seconds(gpu, precision))}" for gpu in gpus)


@dataclass(frozen=True)
class Forecast:
    """What a run takes here and elsewhere.

    Attributes:
        training: seconds here.
        evaluation: here.
        work: for elsewhere.
        rehearsed: whether `training` is from timed steps, else from operations.
        precision: of the training.
        note: what was chosen because nobody said otherwise, see `foresight.said_of_defaults`; or that there is no GPU.
    """

    training: float
    evaluation: Evaluation
    work: Work
    rehearsed: bool
    precision: PrecisionName
    note: str = ""

    @property
    def seconds(self) -> float:
        """Here, in all."""
        return self.training + self.evaluation.total


def together(runs: Sequence[Forecast]) -> tuple[float, str]:
    """Of several runs, one after another: seconds here, and in words on typical GPUs."""
    gpus = [gpu for name in TYPICAL if (gpu := known_gpu(name)) is not None]
    there = [(gpu.name, sum(one.work.seconds(gpu, one.precision) for one in runs)) for gpu in gpus]
    return sum(one.seconds for one in runs), ", ".join(f"{name} {duration(seconds)}" for name, seconds in there)


def side_by_side(seconds: Sequence[float], jobs: int) -> float:
    """Of several runs, so many at once, each begun in turn when one before it ends: seconds until the last ends."""
    ends = [0.0] * max(1, jobs)
    for one in seconds:
        heapq.heapreplace(ends, ends[0] + one)
    return max(ends)


def forecast(
    prepared: Prepared, attacks: Sequence[str], rate: Rate, seconds: float, on_step: OnStep = SILENT.on_data
) -> Forecast:
    """Rehearse a run in about so many seconds; where its smallest rehearsal takes longer, go by its operations."""
    sizes = sizes_of(prepared, prepared.dataset.count_tested())
    evaluation = evaluation_of(attacks, sizes, timed_passes(prepared, sizes, rate))
    asked = evaluation_operations(attacks, sizes), calls_of(attacks, sizes)
    sample, precision = sample_for(prepared.config, sizes, rate, seconds), prepared.spec.precision
    if sample.together:
        training, steps = training_operations(prepared.config, sizes), prepared.config.made().get("student steps", 0)
        return Forecast(training / rate.training, evaluation, Work(training, steps, *asked), False, precision)
    cost = rehearse(prepared, on_step, sample)
    return Forecast(cost.seconds, evaluation, Work(cost.operations, cost.steps, *asked), True, precision)


def describe(prepared: Prepared, cost: Cost) -> dict[str, str]:
    """The estimate of training, as names and texts for a person."""
    problem = prepared.problem

    def count(module: Any) -> str:
        return f"{sum(p.numel() for p in module.parameters()):,} parameters"

    teacher = prepared.spec.teacher
    lines = {
        "teacher": "none"
        if not prepared.method_class.has_teacher
        else f"{teacher.name} ({teacher.architecture}), {count(problem.teacher)}",
        "student": f"{prepared.spec.student}, {count(problem.student)}",
        "device": str(problem.device),
    }
    if (natural := prepared.spec.natural_teacher) is not None and isinstance(problem, TrainingProblem):
        lines["natural teacher"] = f"{natural.name} ({natural.architecture}), {count(problem.natural_teacher)}"
    if prepared.stood_in:
        lines["stood in for"] = f"{'; '.join(prepared.stood_in)}: nothing was downloaded"
    for name, stage in cost.stages.items():
        each = f"{1000 * stage.seconds:.1f} ms and {stage.operations / 1e9:.2f} GFLOP each"
        lines[f"stage {name}"] = f"{stage.steps} steps per epoch, {each}"
    how = (
        f", timed on batches of {cost.tried} instead of {cost.batch}"
        if cost.tried < cost.batch
        else ", from timed steps"
    )
    lines["training"] = f"{cost.epochs} epochs, about {duration(cost.seconds)}, {cost.operations / 1e12:.3g} TFLOP{how}"
    lines["memory"] = f"{cost.memory_bytes / 2**20:,.0f} MiB at the peak of the rehearsal"
    return lines


def described(evaluation: Evaluation, test_images: int) -> Iterator[tuple[str, str]]:
    """The estimate of an evaluation, as names and texts for a person."""
    parts = ", ".join(f"{name} {duration(seconds)}" for name, seconds in evaluation.seconds.items())
    if parts:
        yield "evaluation", f"about {duration(evaluation.total)} for {test_images:,} images, from timed passes: {parts}"
    for assumed in evaluation.assumes:
        yield "assumed", assumed
    if evaluation.unknown:
        yield "not estimated", f"{', '.join(evaluation.unknown)}: they do not say how often they ask a network"
