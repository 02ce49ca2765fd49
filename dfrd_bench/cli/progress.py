"""Progress of long work: rich bars on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from dfrd_bench.cli.printing import SafeConsole
from dfrd_bench.cli.session import stops
from dfrd_bench.observer import Observer

BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN_SECONDS = 15.0
UNDER_WAY = "the first batches are under way, each in a process of its own"
ROOM = 72  # columns of a terminal, from which there is room for a bar


def summarise(numbers: Mapping[str, float]) -> str:
    """One line of an epoch's numbers; a family `p/0, p/1, …` becomes a row of bars, tallest = largest."""
    families: dict[str, list[float]] = {}
    parts = []
    for name, value in numbers.items():
        family, _, member = name.partition("/")
        if member:
            families.setdefault(family, []).append(value)
        elif name != "lr":
            parts.append(f"{name} {value:.3g}")
    for family, values in families.items():
        if len(values) <= 40:
            parts.append(f"{family} {bars(values)} ≤{max(values):.2f}")
    return "  ".join(parts)


def bars(values: list[float]) -> str:
    """Numbers as block characters, scaled to the largest; what is below zero is lowest, and what is no number blank."""
    top = max((value for value in values if math.isfinite(value) and value > 0), default=1.0)
    levels = [int(min(max(v / top, 0), 1) * (len(BLOCKS) - 1e-9)) if math.isfinite(v) else None for v in values]
    return "".join(" " if level is None else BLOCKS[level] for level in levels)


@contextmanager
def watching(quiet: bool) -> Iterator[Observer]:
    """An observer for this terminal, closed at the end."""
    console = SafeConsole(stderr=True)
    if quiet:
        yield Observer(stops=stops())
    elif console.is_terminal:
        with _bars(console) as progress:
            yield _Live(progress).observer()
    else:
        yield _Plain().observer()


def _bars(console: Console) -> Progress:
    name = TextColumn("{task.description:<12}", table_column=Column(no_wrap=True))
    counted = MofNCompleteColumn(table_column=Column(min_width=7, no_wrap=True))
    note = TextColumn("{task.fields[note]}", table_column=Column(overflow="fold"))
    if console.width < ROOM:  # numbers stay whole, bars and clocks go
        return Progress(name, counted, note, console=console)
    return Progress(
        name, BarColumn(bar_width=24), counted, TimeElapsedColumn(), TimeRemainingColumn(), note, console=console
    )


class _Live:
    """Bars: epochs, the steps of the current stage, and one per attack."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.tasks: dict[str, TaskID] = {}
        self.stage = ""
        self.total = 0

    def observer(self) -> Observer:
        return Observer(self.start, self.epoch, self.step, self.attack, self.data, stops())

    def start(self, folder: Path, epochs: int, done: int) -> None:
        going_on = f" (going on after epoch {done})" if done else ""
        self.progress.console.print(f"{folder}{going_on}", style="dim", markup=False, soft_wrap=True)
        self.total = epochs
        self.tasks["epoch"] = self.progress.add_task("epochs", total=epochs, completed=done, note="")
        self.tasks["step"] = self.progress.add_task("", total=None, note="")

    def epoch(self, epoch: int, numbers: dict[str, float]) -> None:
        self.progress.update(self.tasks["epoch"], completed=epoch + 1, note=summarise(numbers))
        if epoch + 1 == self.total:
            self.progress.update(self.tasks["step"], visible=False)

    def step(self, stage: str, done: int, total: int) -> None:
        if stage != self.stage:
            self.stage = stage
            self.progress.reset(self.tasks["step"], total=total, description=f"  {stage}", note="")
        self.progress.update(self.tasks["step"], completed=done, total=total)

    def attack(self, attack: str, done: int, total: int, accuracy: float) -> None:
        if attack not in self.tasks:
            self.tasks[attack] = self.progress.add_task(attack, total=total, note="")
        self.progress.update(self.tasks[attack], completed=done, note=_correct(accuracy))

    def data(self, stage: str, done: int, total: int) -> None:
        if stage not in self.tasks:
            self.tasks[stage] = self.progress.add_task(stage, total=total, note="")
        self.progress.update(self.tasks[stage], completed=done, visible=done < total)


class _Plain:
    """Lines: at most every quarter of a minute, and one at the end of every attack."""

    def __init__(self) -> None:
        self.epochs = self.first = self.warmup = 0
        self.began = self.last = time.monotonic()
        self.took: list[float] = []
        self.attacked = False

    def observer(self) -> Observer:
        return Observer(
            on_start=self.start, on_epoch=self.epoch, on_attack=self.attack, on_data=self.data, stops=stops()
        )

    def start(self, folder: Path, epochs: int, done: int) -> None:
        from dfrd_bench.runs.checkpoint import State
        from dfrd_bench.runs.remaining import warmup_in

        self.epochs, self.first, self.began, self.took = epochs, done, time.monotonic(), []
        self.warmup = max(0, warmup_in(State(folder).read()) - done)
        _say(f"{folder}" + (f" (going on after epoch {done})" if done else ""))

    def epoch(self, epoch: int, numbers: dict[str, float]) -> None:
        from dfrd_bench.runs.rehearsal import duration
        from dfrd_bench.runs.remaining import seconds_left

        now = time.monotonic()
        self.took.append(now - self.began)
        self.began = now
        if now - self.last >= PLAIN_SECONDS or epoch + 1 in (self.first + 1, self.epochs):
            left = seconds_left(self.took, self.epochs - epoch - 1, self.warmup)
            said = "" if left is None else f"about {duration(left)} of training left"
            _say("  ".join(filter(None, (f"epoch {epoch + 1}/{self.epochs}", said, summarise(numbers)))))
            self.last = now

    def attack(self, attack: str, done: int, total: int, accuracy: float) -> None:
        now = time.monotonic()
        silent = self.attacked if math.isnan(accuracy) else done < total and now - self.last < PLAIN_SECONDS
        self.attacked = True
        if silent:
            return
        self.last = now
        _say(f"{attack} {done}/{total}  {_correct(accuracy) or UNDER_WAY}")

    def data(self, stage: str, done: int, total: int) -> None:
        if (now := time.monotonic()) - self.last >= PLAIN_SECONDS:
            self.last = now
            _say(f"{stage} {100 * done / total:.0f} %")


def _correct(accuracy: float) -> str:
    """An accuracy so far; "" before there is one."""
    return "" if math.isnan(accuracy) else f"{100 * accuracy:.2f} % correct"


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
