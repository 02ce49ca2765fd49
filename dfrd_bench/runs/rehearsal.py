"""What a run will cost on this device, from a few timed steps of it; nothing is written."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

from dfrd_bench.observer import OnStep
from dfrd_bench.problem import Problem, TrainingProblem
from dfrd_bench.records.schema import NO_TEACHER
from dfrd_bench.runs.environment import peak_memory
from dfrd_bench.runs.preparation import Prepared

if TYPE_CHECKING:
    from dfrd_bench.method import Method

STEPS = 3  # rehearsed in each stage; the first, in which libraries warm up, does not count
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

    @property
    def seconds(self) -> float:
        """Of training."""
        return self._total(lambda stage: stage.seconds)

    @property
    def operations(self) -> float:
        """Of training."""
        return self._total(lambda stage: stage.operations)

    def _total(self, each: Callable[[StageCost], float]) -> float:
        return sum(
            stage.steps * each(stage) * (max(self.epochs - self.warmup_epochs, 1) if name == "distill" else self.epochs)
            for name, stage in self.stages.items()
        )


def rehearse(prepared: Prepared, on_step: OnStep = lambda stage, done, total: None) -> Cost:
    """Run a shortened epoch twice, once counted and once timed, and scale it to the run's own.

    The student of `prepared` is trained by it: prepare again before the run itself.

    Args:
        prepared: the run.
        on_step: told about every rehearsed step.
    """
    config = prepared.config.model_dump()
    short = {name: min(STEPS, config[name]) for name in STAGES.values() if name in config}
    short |= {name: value for name, value in (("warmup_epochs", 0), ("synthesis_rounds", 1)) if name in config}

    held_out = config.get("validation_share", 0.0)
    least = 2 if held_out else 0  # of a class: one to learn from, one to validate on
    batch = int(config.get("batch_size", 1))
    problem, share = shortened_split(prepared.problem, batch, least)

    def shortened() -> Method:
        return prepared.method_class(problem, type(prepared.config)(**{**config, **short}))

    def count() -> dict[str, tuple[int, float]]:
        with counted() as performed:
            return _per_step(shortened(), performed, lambda stage, *at: on_step(f"counting: {stage}", *at))

    with prepared.problem.precision.backends():
        operations = count()
        if share == 1 and any(STAGES.get(stage) not in short for stage in operations):  # what shortens it is not known
            short = {name: value for name, value in short.items() if name == "warmup_epochs"}
            operations = count()
        seconds = _per_step(shortened(), time.perf_counter, lambda stage, *at: on_step(f"timing: {stage}", *at))
    stages = {}
    for name, (total, each) in seconds.items():
        scale, field = share, STAGES.get(name)
        if held_out and name == "distill":  # of few images of each class another share is held out
            scale = _batches(prepared.problem, batch, 1 - held_out) / total
        if field in short:
            scale = config[field] / short[field] * config.get("synthesis_rounds", 1) ** (name == "synthesize")
        stages[name] = StageCost(round(total * scale), each, operations[name][1])
    return Cost(
        stages, prepared.config.epochs, int(config.get("warmup_epochs", 0)), peak_memory(prepared.problem.device)
    )


def shortened_split(problem: Problem, batch: int, least: int = 0) -> tuple[Problem, float]:
    """Of a problem with training images the same with `STEPS` batches of them, and how many times as many there are.

    Any other stays as it is. Of a class with at least `least` images so many are among them.
    """
    import torch

    if not isinstance(problem, TrainingProblem) or len(problem.labels) <= STEPS * batch:
        return problem, 1.0
    chosen = torch.linspace(0, len(problem.labels) - 1, STEPS * batch, device=problem.device).long()  # of all classes
    if least:
        rare = torch.bincount(problem.labels[chosen], minlength=problem.num_classes) < least
        wanted = torch.zeros_like(problem.labels, dtype=torch.bool)
        for index in (chosen, *((problem.labels == label).nonzero()[:least, 0] for label in rare.nonzero()[:, 0])):
            wanted[index] = True
        chosen = wanted.nonzero()[:, 0]
    few = replace(problem, images=problem.images[chosen], labels=problem.labels[chosen])
    return few, _batches(problem, batch) / _batches(few, batch)


def _batches(problem: Problem, batch: int, share: float = 1.0) -> int:
    """Steps of an epoch over a share of the training images."""
    return math.ceil(share * len(problem.labels) / batch) if isinstance(problem, TrainingProblem) else 0


@contextmanager
def counted() -> Iterator[Callable[[], float]]:
    """While it lasts, a function that says how many floating-point operations of matrices and convolutions were performed."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    class Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
        total = 0.0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            formula = flop_registry.get(func._overloadpacket)
            if formula is not None:
                self.total += formula(*args, **(kwargs or {}), out_val=out)
            return out

    with Count() as count:  # type: ignore[no-untyped-call]
        yield lambda: count.total


def _per_step(method: Method, meter: Callable[[], float], on_step: OnStep) -> dict[str, tuple[int, float]]:
    """For each stage of one epoch: its steps, and how much a meter advances in a step (median, without the first)."""
    import torch

    device = method.problem.device
    spent: dict[str, list[float]] = defaultdict(list)
    totals: dict[str, int] = {}
    last = meter()

    def step(stage: str, done: int, total: int) -> None:
        nonlocal last
        on_step(stage, done, total)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        now = meter()
        if done:
            spent[stage].append(now - last)
        totals[stage], last = total, now

    method.progress = step
    method.train_epoch(0)
    if not spent:  # a method that reports no stage: the epoch is one
        step("epoch", 1, 1)
    return {stage: (totals[stage], float(median(values[1:] or values))) for stage, values in spent.items()}


def describe(prepared: Prepared, cost: Cost) -> dict[str, str]:
    """The estimate (of training; evaluation comes on top), as names and texts for a person."""
    problem = prepared.problem

    def count(module: Any) -> str:
        return f"{sum(p.numel() for p in module.parameters()):,} parameters"

    teacher = prepared.spec.teacher
    lines = {
        "teacher": "none"
        if teacher == NO_TEACHER
        else f"{teacher.name} ({teacher.architecture}), {count(problem.teacher)}",
        "student": f"{prepared.spec.student}, {count(problem.student)}",
        "device": str(problem.device),
    }
    if (natural := prepared.spec.natural_teacher) is not None and isinstance(problem, TrainingProblem):
        lines["natural teacher"] = f"{natural.name} ({natural.architecture}), {count(problem.natural_teacher)}"
    for name, stage in cost.stages.items():
        each = f"{1000 * stage.seconds:.1f} ms and {stage.operations / 1e9:.2f} GFLOP each"
        lines[f"stage {name}"] = f"{stage.steps} steps per epoch, {each}"
    lines["training"] = f"{cost.epochs} epochs, about {duration(cost.seconds)}, {cost.operations / 1e12:.3g} TFLOP"
    lines["memory"] = f"{cost.memory_bytes / 2**20:,.0f} MiB at the peak of the rehearsal"
    return lines


def duration(seconds: float) -> str:
    """As people say it: 45 s, 12 min, 3.4 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
