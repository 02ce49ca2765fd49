"""How long the methods' steps take, ours and as the plain recipe computes them, and how much memory."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch

from dfrd_bench.runs.environment import peak_memory

from .cases import Case
from .timing import Pair, Seconds, Stopwatch, in_turn
from .trainers import ours, plain


def measure(
    case: Case,
    method: str,
    *,
    steps: int,
    repetitions: int,
    warmups: int = 1,
    on_turn: Callable[[], None] = lambda: None,
) -> dict[str, Pair]:
    """Seconds per synthesis step, per student step, for the rest of a round and for an epoch at the preset's counts.

    Args:
        case: what is measured on.
        method: its name.
        steps: of synthesis and of the student in a turn.
        repetitions: turns that count.
        warmups: turns before them.
        on_turn: told after every turn.
    """
    changes = shortened(steps, warmups + repetitions)
    with case.precision.backends():
        watches = [
            Stopwatch(make(case, method, **changes), case.device, changes["generator_steps"]) for make in (plain, ours)
        ]
        turns = [epochs_of(watch) for watch in watches]
        pairs = in_turn(*turns, repetitions=repetitions, warmups=warmups, on_turn=on_turn)
    pairs["epoch"] = Pair(*(epochs(case, method, pairs, which) for which in ("plain", "ours")))
    return pairs


def shortened(steps: int, epochs: int) -> dict[str, Any]:
    """An epoch of one round and few steps; the bottleneck's and the attack's steps stay the preset's."""
    return {
        **{"epochs": epochs, "warmup_epochs": 0, "synthesis_rounds": 1, "synthesis_steps": steps},
        **{"distillation_steps": steps, "generator_steps": steps, "student_steps": steps},
    }


def epochs_of(watch: Stopwatch) -> Callable[[], dict[str, Seconds]]:
    """A turn is the next epoch."""
    number = -1

    def turn() -> dict[str, Seconds]:
        nonlocal number
        number += 1
        return watch.epoch(number)

    return turn


def epochs(case: Case, method: str, pairs: dict[str, Pair], which: str) -> list[Seconds]:
    """An epoch's seconds, turn by turn, from its steps and the preset's counts."""
    config: Any = case.config(method)
    counts = {"student step": config.distillation_steps}
    if hasattr(config, "synthesis_rounds"):
        rounds = config.synthesis_rounds
        counts |= {"synthesis step": rounds * config.synthesis_steps, "rest of a round": rounds}
    else:
        counts["synthesis step"] = config.generator_steps * -(-config.distillation_steps // config.student_steps)
    turns = [getattr(pairs[part], which) for part in counts]
    return [
        (
            sum(count * seconds[0] for count, seconds in zip(counts.values(), turn, strict=True)),
            sum(count * seconds[1] for count, seconds in zip(counts.values(), turn, strict=True)),
        )
        for turn in zip(*turns, strict=True)
    ]


def memory(case: Case, method: str, steps: int) -> tuple[int, int]:
    """Peak bytes of two epochs, of the plain recipe and of ours: the CUDA allocator's, or a new process's above its imports."""
    if case.device.type == "cuda":
        return peak(case, method, steps, True), peak(case, method, steps, False)
    found = []
    for is_plain in (True, False):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found.append(pool.apply(peak, (case, method, steps, is_plain, torch.get_num_threads())))
    return found[0], found[1]


def peak(case: Case, method: str, steps: int, is_plain: bool, threads: int | None = None) -> int:
    """Bytes at most, of this process on a CPU: above what it held before (0: the system does not say)."""
    if threads is not None:
        torch.set_num_threads(threads)
    if case.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(case.device)
    before = 0 if case.device.type == "cuda" else psutil.Process().memory_info().rss
    with case.precision.backends():
        trainer = (plain if is_plain else ours)(case, method, **shortened(steps, 2))
        for epoch in range(2):
            trainer.train_epoch(epoch)
    reached = peak_memory(case.device) if case.device.type == "cuda" else high_water()
    return max(reached - before, 0)


def high_water() -> int:
    """The largest size of this process, in bytes.

    Not `getrusage`'s, which on Linux a process inherits from the one that started it.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    lines = status.read_text(encoding="ascii", errors="replace").splitlines()
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
