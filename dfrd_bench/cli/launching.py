"""What a launcher tells, on the screen: a table that moves on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from dfrd_bench.cli import threads
from dfrd_bench.cli.printing import SafeConsole
from dfrd_bench.cli.progress import PLAIN_SECONDS
from dfrd_bench.cli.standing import progress_of
from dfrd_bench.cli.streams import one_line
from dfrd_bench.execution.protocol import Failed, Finished, Handed, Lost, Means, Notice, Started, Turn, Waiting
from dfrd_bench.runs.rehearsal import duration

if TYPE_CHECKING:
    from dfrd_bench.execution.protocol import Event, Job
    from dfrd_bench.execution.status import Standing

REFRESH = 1.0  # seconds between two looks at the runs, on a terminal


def means_of(jobs: int | None, gpus_per_job: float, threads_are_told: bool) -> Means:
    """What may be used of this machine: processors and their time as the system grants them, and threads as they are asked for.

    Args:
        jobs: at once.
        gpus_per_job: see `Means`.
        threads_are_told: whether `--threads` was given, for each run; else `OMP_NUM_THREADS` is the most that each gets.
    """
    said = os.environ.get(threads.COUNT, "")
    most = int(said) if said.isdigit() and int(said) > 0 else None
    return Means(jobs, gpus_per_job, threads.cores(), most if threads_are_told else None, most)


@dataclass
class Launched:
    """What came of a plan so far, and what it says on the screen.

    Attributes:
        total: runs in all.
        quiet: only failures and folders are told.
        failed: a line for each run that failed.
        done, handed: how many are recorded, or are another's from here on.
    """

    total: int
    quiet: bool
    failed: list[str] = field(default_factory=list)
    done: int = 0
    handed: int = 0
    running: dict[int, tuple[Started, float]] = field(default_factory=dict)
    took: list[float] = field(default_factory=list)
    _looked: float = field(default_factory=time.monotonic)
    _waited_for: set[int] = field(default_factory=set)
    _live: Live | None = None

    def follow(self, events: Iterable[Event]) -> None:
        """Say what happens until all is done."""
        console = SafeConsole(stderr=True)
        with _live(console, console.is_terminal and not self.quiet) as self._live:
            for event in events:
                self._note(event)
                now = time.monotonic()
                if now - self._looked >= (REFRESH if self._live else PLAIN_SECONDS) and not self.quiet:
                    self._looked = now
                    if self._live:
                        self._live.update(self._table(), refresh=True)
                    elif self.running:
                        self._say("; ".join(f"{name}: {what}" for name, _, what in self._rows()))

    def _note(self, event: Event) -> None:
        match event:
            case Turn():
                pass
            case Notice(text):
                self._echo(text)
            case Started(job, where):
                self.running[job.number] = (event, time.monotonic())
                self._say(f"{self._named(job)}: started on {where}")
            case Waiting(job, who):
                self.running.pop(job.number, None)
                if job.number not in self._waited_for:
                    self._say(f"{self._named(job)}: {who} is making it")
                self._waited_for.add(job.number)
            case Lost(job, why):
                self.running.pop(job.number, None)
                self._say(f"{self._named(job)}: {one_line(why)} It is begun again from what came back of it.")
            case Handed(job, where):
                self.handed += 1
                self._say(f"{self._named(job)}: {where}")
            case Finished(job, folder, cached):
                self._ended(job)
                self.done += 1
                self._say(f"{self._named(job)}: {'recorded already' if cached else 'finished'}; {self._summary()}")
                self._echo(str(folder), err=False)
            case Failed(job, why):
                self._ended(job)
                self.failed.append(f"{one_line(job.request)}: {one_line(why)}")
                self._echo(f"Error: {self.failed[-1]} (log: {job.folder / 'log'})")

    def _ended(self, job: Job) -> None:
        if (found := self.running.pop(job.number, None)) is not None:
            self.took.append(time.monotonic() - found[1])

    def _say(self, line: str) -> None:
        if not self.quiet:
            self._echo(line)

    def _echo(self, line: str, *, err: bool = True) -> None:
        """Print a line that stays, above what moves: stdout may be on the same terminal."""
        if self._live:
            self._live.stop()
        click.echo(one_line(line), err=err)
        if self._live:
            self._live.start()

    def _named(self, job: Job) -> str:
        return f"[{job.number}/{self.total}] {one_line(job.request)}"

    def _summary(self) -> str:
        """Done of total, and when it ends, as far as those that ended tell."""
        said = f"{self.done} of {self.total} done" + (f", {len(self.failed)} failed" if self.failed else "")
        waiting = self.total - self.done - self.handed - len(self.failed) - len(self.running)
        if not self.took or not (waiting or self.running):
            return said
        each, now = sum(self.took) / len(self.took), time.monotonic()
        left = waiting * each + sum(max(0.0, each - (now - began)) for _, began in self.running.values())
        left /= max(1, len(self.running))
        return f"{said}, about {duration(left)} left" if left >= 1 else said

    def _rows(self) -> Iterator[tuple[str, str, str]]:
        """Of each run that is being made: which, where, how far."""
        from dfrd_bench.execution.status import standing

        for started, began in self.running.values():
            now: Standing = standing(started.job.request)
            yield (
                one_line(started.job.request),
                started.where,
                "finishing" if now.stage == "done" else progress_of(now) or f"starting, {since(began)}",
            )

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, title=self._summary(), title_justify="left", show_header=False)
        for row in self._rows():
            table.add_row(*map(escape, row))
        return table


def since(began: float) -> str:
    """How long ago that was."""
    return duration(time.monotonic() - began)


@contextmanager
def _live(console: SafeConsole, moving: bool) -> Iterator[Live | None]:
    """A place on the screen that moves, on a terminal."""
    if not moving:
        yield None
        return
    with Live(
        console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as live:
        yield live
