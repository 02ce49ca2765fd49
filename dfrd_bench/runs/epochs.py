"""Training epoch by epoch: its history and checkpoints, and going on from the last one after a stop."""

from __future__ import annotations

import functools
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from dfrd_bench.errors import DfrdBenchError, out_of_memory
from dfrd_bench.method import Progress, Stateful
from dfrd_bench.observer import Observer, OnStep
from dfrd_bench.records.probes import PREFIX
from dfrd_bench.records.schema import TrainingRecord
from dfrd_bench.runs.checkpoint import HISTORY_FILE, Checkpoint, History
from dfrd_bench.runs.environment import peak_memory
from dfrd_bench.runs.passes import Passes
from dfrd_bench.runs.threads import Threads

if TYPE_CHECKING:
    import torch
    from torch import nn

log = logging.getLogger(__name__)
CHECKPOINT_FOLDER = "checkpoint"
CHECKPOINT_SHARE = 0.05  # of the time may go into saving checkpoints
LARGE = ("batch_size", "negatives", "generator_width")  # hyper-parameters that memory depends on, the first the most


class Trainee(Stateful, Protocol):
    """What is trained epoch by epoch: a method.

    Attributes:
        progress: called within an epoch, after each step.
        cautions: what a reader of its numbers must know.
    """

    progress: Progress
    cautions: tuple[str, ...]

    def train_epoch(self, epoch: int) -> dict[str, float]: ...


def stopping_at_checkpoints(train: Callable[..., TrainingRecord]) -> Callable[..., TrainingRecord]:
    """A stop that is asked for in an epoch waits until a checkpoint of it is written."""

    @functools.wraps(train)
    def deferring(*args: Any, observer: Observer, **kwargs: Any) -> TrainingRecord:
        with observer.stops.deferred():
            return train(*args, observer=observer, **kwargs)

    return deferring


@stopping_at_checkpoints
def train_epochs(
    trainee: Trainee,
    epochs: int,
    *,
    settings: Mapping[str, Any],
    folder: Path,
    device: torch.device,
    observer: Observer,
    networks: Mapping[str, nn.Module] = MappingProxyType({}),
    still_alone: Callable[[], None] = lambda: None,
    images: str | None = None,
    probe: Callable[[int], dict[str, float]] = lambda epoch: {},
) -> TrainingRecord:
    """Train to the last epoch, going on from a checkpoint if there is one.

    Args:
        trainee: freshly made.
        epochs: in all.
        settings: its hyper-parameters, to name those to lower where memory runs out.
        folder: where `history.jsonl` and `checkpoint/` are kept.
        device: where the training happens.
        observer: told about progress.
        networks: "teacher" and "student" whose passes are to be recorded, see `Passes`; by default none.
        still_alone: refuses to go on where the folder is gone or another's, see `Alone.check`; asked after each epoch.
        images: digest of the training images, where the trainee sees them; a checkpoint of others is refused.
        probe: asked after each epoch for numbers that are kept in the history beside the trainee's own, and nowhere else.

    Where it goes on on a CPU with another number of threads, that is one of the trainee's cautions.

    Returns:
        How it went. The checkpoint of the last epoch is still there.

    Raises:
        DfrdBenchError: both checkpoints are damaged, the folder is gone or cannot be written, or memory ran out.
        Stopped: `observer.stops` says so; a checkpoint of the epoch just done is there.
    """
    import torch

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    passes = Passes(networks)
    trainee.progress = watched = LastStage(passes.watching(observer.on_step))
    checkpoint, history = Checkpoint(folder / CHECKPOINT_FOLDER, images), History(folder / HISTORY_FILE)
    parts: dict[str, Stateful] = {"passes": passes, "history": history, "threads": (threads := Threads())}
    done, seconds, peak = checkpoint.restore(trainee, device, **parts)
    if (caution := threads.go_on(done, torch.get_num_threads())) and device.type == "cpu":
        log.warning(caution)
        trainee.cautions = (*trainee.cautions, caution)
    lines = history.truncate(done)
    observer.on_start(folder, epochs, done)
    saved, cost = time.monotonic(), 0.0
    for epoch in range(done, epochs):
        began = time.perf_counter()
        with explaining_memory(settings, device, watched, epoch), passes.counting():
            numbers = trainee.train_epoch(epoch)
        took = time.perf_counter() - began
        seconds += took
        still_alone()
        numbers = {**numbers, **probe(epoch)}
        lines.append({"epoch": epoch, "seconds": took, **numbers})
        history.append(lines[-1])
        observer.on_epoch(epoch, numbers)
        last_chance = epoch == epochs - 1 or observer.stops.wanted
        if last_chance or (time.monotonic() - saved) * CHECKPOINT_SHARE >= cost:
            saved = time.monotonic()
            peak = max(peak, peak_memory(device))
            checkpoint.save(trainee, device, epoch + 1, seconds, peak, **parts)
            cost = time.monotonic() - saved
            observer.stops.safe_point()
    latest = lines[-1] if lines else {}  # none where somebody removed the history
    last = {k: x for k, x in latest.items() if _is_own(k) and x is not None and math.isfinite(x)}
    peak = max(peak, peak_memory(device))
    return TrainingRecord(epochs=epochs, seconds=seconds, peak_memory_bytes=peak, last=last, passes=passes.record())


def _is_own(name: str) -> bool:
    """Whether a number of the history is the trainee's, and neither ours nor a probe's."""
    return name not in ("epoch", "seconds") and not name.startswith(PREFIX)


class LastStage:
    """Passes progress on, and remembers in which stage it was."""

    def __init__(self, on_step: OnStep) -> None:
        self.on_step = on_step
        self.stage = "first step"

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.stage = stage
        self.on_step(stage, done, total)


@contextmanager
def explaining_memory(
    settings: Mapping[str, Any], device: torch.device, watched: LastStage, epoch: int
) -> Iterator[None]:
    """Where memory runs out inside, say in which stage, and what to lower.

    Raises:
        DfrdBenchError: it did.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        options = [f"--set {name}=… (now {settings[name]})" for name in LARGE if name in settings]
        raise DfrdBenchError(
            f"Memory ran out on {device} in epoch {epoch + 1}, stage {watched.stage!r}: lower "
            f"{' or '.join(options) or 'what is held at once'}, or try --precision bf16. "
            "The last checkpoint is kept, for the same command on a device with more memory."
        ) from error
