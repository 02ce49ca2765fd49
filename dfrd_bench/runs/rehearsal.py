"""What a run will cost on this device, from a few timed steps of it; nothing is written."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from dfrd_bench.observer import OnStep
from dfrd_bench.problem import Problem, TrainingProblem
from dfrd_bench.runs.devices import Rate
from dfrd_bench.runs.environment import peak_memory
from dfrd_bench.runs.guess import BACK_TO_IMAGES, SYNTHESIS, Sizes, counted
from dfrd_bench.runs.preparation import Prepared

if TYPE_CHECKING:
    from dfrd_bench.method import Method, MethodConfig

STEPS = 3  # rehearsed in each stage
SECONDS = 15.0  # that a rehearsal may take, about
DAY = 86400
SMALLEST = 4  # images of a batch, where a step can be repeated
STAGES = {"synthesize": "synthesis_steps", "distill": "distillation_steps"}  # what a stage is shortened by


@dataclass(frozen=True)
class StageCost:
    """One stage of an epoch.

    Attributes:
        steps: per epoch.
        seconds: per step.
        operations: floating-point operations per step (multiply-adds count as two).
    """

    steps: int
    seconds: float
    operations: float


@dataclass(frozen=True)
class Cost:
    """An estimate.

    Attributes:
        stages: by name, in order.
        epochs: of the run.
        warmup_epochs: of them without the stage `distill`, but for the last.
        memory_bytes: the most that was held while rehearsing (see `peak_memory`); what fills up as a run goes on (CMI's memory
            bank; on a CPU the pool of images) comes on top.
    """

    stages: dict[str, StageCost]
    epochs: int
    warmup_epochs: int
    memory_bytes: int
    tried: int = 0
    batch: int = 0

    @property
    def seconds(self) -> float:
        """Of training."""
        return self._total(lambda stage: stage.seconds)

    @property
    def operations(self) -> float:
        """Of training."""
        return self._total(lambda stage: stage.operations)

    @property
    def steps(self) -> float:
        """Of training."""
        return self._total(lambda stage: 1.0)

    def _total(self, each: Callable[[StageCost], float]) -> float:
        return sum(
            stage.steps * each(stage) * (max(self.epochs - self.warmup_epochs, 1) if name == "distill" else self.epochs)
            for name, stage in self.stages.items()
        )


@dataclass(frozen=True)
class Sample:
    """How much of a run is rehearsed.

    Attributes:
        batch: images per step; None: the run's own.
        steps: of each stage; where there is more than one, the first, in which libraries warm up, does not count.
        together: operations are counted while steps are timed, which costs little where a step is long.
    """

    batch: int | None = None
    steps: int = STEPS
    together: bool = False


WHOLE = Sample()


def sample_for(config: MethodConfig, sizes: Sizes, rate: Rate, seconds: float = SECONDS) -> Sample:
    """As much of a run as is rehearsed in about so many seconds, judged by its first estimate."""
    values = config.model_dump()
    batch, attack = int(values.get("batch_size", 1)), int(values.get("attack_steps", 0))
    image = (SYNTHESIS + 1) * sizes.teacher + (SYNTHESIS + BACK_TO_IMAGES * (attack + 4)) * sizes.student
    affordable = int(seconds * rate.training / (2 * STEPS * image))
    if affordable >= batch:
        return WHOLE
    if affordable >= SMALLEST:
        return Sample(2 ** int(math.log2(affordable)))
    return Sample(min(SMALLEST if 2 * affordable * STEPS >= SMALLEST else 2, batch), 1, together=True)


def rehearse(prepared: Prepared, on_step: OnStep = lambda stage, done, total: None, sample: Sample = WHOLE) -> Cost:
    """Run a shortened epoch twice, once counted and once timed, and scale it to the run's own.

    The student of `prepared` is trained by it: prepare again before the run itself.

    Args:
        prepared: the run.
        on_step: told about every rehearsed step.
        sample: how much of it; smaller batches are scaled by their images.
    """
    config = prepared.config.model_dump()
    short = {name: min(sample.steps, config[name]) for name in STAGES.values() if name in config}
    short |= {name: value for name, value in (("warmup_epochs", 0), ("synthesis_rounds", 1)) if name in config}
    batch = int(config.get("batch_size", 1))
    tried = min(sample.batch or batch, batch)
    if tried < batch:
        short |= {"batch_size": tried, **({"probe_steps": 1} if "probe_steps" in config else {})}

    held_out = config.get("validation_share", 0.0)
    least = 2 if held_out else 0  # of a class: one to learn from, one to validate on
    problem, _ = shortened_split(prepared.problem, tried, least, sample.steps)
    seen = _seen(problem)
    share = _batches(prepared.training_images, batch) / _batches(seen, tried) if seen else 1.0

    def shortened() -> Method:
        return prepared.method_class(problem, type(prepared.config)(**{**config, **short}))

    def measured(what: str, *meters: Callable[[], float]) -> dict[str, tuple[int, tuple[float, ...]]]:
        return _per_step(shortened(), meters, lambda stage, *at: on_step(f"{what}: {stage}", *at))

    with prepared.problem.precision.backends():
        if sample.together:
            with counted() as performed:
                both = measured("counting and timing", performed, time.perf_counter)
        else:
            with counted() as performed:
                operations = measured("counting", performed)
            if share == 1 and any(
                STAGES.get(stage) not in short for stage in operations
            ):  # what shortens it is not known
                short = {name: value for name, value in short.items() if name in ("warmup_epochs", "batch_size")}
                with counted() as performed:
                    operations = measured("counting", performed)
            seconds = measured("timing", time.perf_counter)
            both = {name: (total, (*operations[name][1], *each)) for name, (total, each) in seconds.items()}
    stages = {}
    for name, (total, (performed_each, seconds_each)) in both.items():
        scale, field = share, STAGES.get(name)
        if held_out and name == "distill":  # of few images of each class another share is held out
            scale = _batches(prepared.training_images, batch, 1 - held_out) / total
        if field in short:
            scale = config[field] / short[field] * config.get("synthesis_rounds", 1) ** (name == "synthesize")
        larger = batch / tried
        stages[name] = StageCost(round(total * scale), larger * seconds_each, larger * performed_each)
    memory = peak_memory(prepared.problem.device)
    return Cost(stages, prepared.config.epochs, int(config.get("warmup_epochs", 0)), memory, tried, batch)


def shortened_split(problem: Problem, batch: int, least: int = 0, steps: int = STEPS) -> tuple[Problem, float]:
    """Of a problem with training images the same with a few batches of them, and how many times as many there are.

    Any other stays as it is. Of a class with at least `least` images so many are among them.
    """
    import torch

    if not isinstance(problem, TrainingProblem) or len(problem.labels) <= steps * batch:
        return problem, 1.0
    chosen = torch.linspace(0, len(problem.labels) - 1, steps * batch, device=problem.device).long()  # of all classes
    if least:
        rare = torch.bincount(problem.labels[chosen], minlength=problem.num_classes) < least
        wanted = torch.zeros_like(problem.labels, dtype=torch.bool)
        for index in (chosen, *((problem.labels == label).nonzero()[:least, 0] for label in rare.nonzero()[:, 0])):
            wanted[index] = True
        chosen = wanted.nonzero()[:, 0]
    few = replace(problem, images=problem.images[chosen], labels=problem.labels[chosen])
    return few, _batches(_seen(problem), batch) / _batches(_seen(few), batch)


def _seen(problem: Problem) -> int:
    return len(problem.labels) if isinstance(problem, TrainingProblem) else 0


def _batches(images: int, batch: int, share: float = 1.0) -> int:
    """Steps of an epoch over a share of the training images."""
    return math.ceil(share * images / batch)


def _per_step(
    method: Method, meters: Sequence[Callable[[], float]], on_step: OnStep
) -> dict[str, tuple[int, tuple[float, ...]]]:
    """For each stage of one epoch: its steps, and how much meters advance in a step (medians, without the first of several)."""
    import torch

    device = method.problem.device
    spent: dict[str, list[list[float]]] = defaultdict(list)
    totals: dict[str, int] = {}
    last = [meter() for meter in meters]

    def step(stage: str, done: int, total: int) -> None:
        nonlocal last
        on_step(stage, done, total)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        now = [meter() for meter in meters]
        if done:
            spent[stage].append([new - old for new, old in zip(now, last, strict=True)])
        totals[stage], last = total, now

    method.progress = step
    method.train_epoch(0)
    if not spent:  # a method that reports no stage: the epoch is one
        step("epoch", 1, 1)
    return {
        stage: (totals[stage], tuple(float(median(values[1:] or values)) for values in zip(*steps, strict=True)))
        for stage, steps in spent.items()
    }


def duration(seconds: float) -> str:
    """As people say it: 45 s, 12 min, 3.4 h, 9 days."""
    if seconds >= 4 * DAY:
        return f"{seconds / DAY:,.0f} days"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
