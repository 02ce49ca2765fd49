"""What a launcher is: it takes jobs, and yields what happens to them. Plugins register theirs as `dfrd_bench.launchers`."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dfrd_bench.observer import Stops
from dfrd_bench.runs.request import Request


@dataclass(frozen=True)
class Job:
    """One run that is wanted.

    Attributes:
        number: its place in the plan, from 1.
        request: what is asked for.
        folder: in the results folder, where `request.json` says the same (for `dfrd-bench run --config`), and where the worker's
            output and the outcome are kept; see `jobs`.
    """

    number: int
    request: Request
    folder: Path


@dataclass(frozen=True)
class Means:
    """What may be used.

    Attributes:
        jobs: how many runs at once; None: as many as there are GPUs, or one.
        gpus_per_job: part of a GPU that a run needs: 1, or less where several share one.
        cores: of this machine, that may be used.
        threads: of each run; None: the cores divided among the jobs.
        most_threads: never more than so many of each, where `threads` is None and this is not.
    """

    jobs: int | None = None
    gpus_per_job: float = 1.0
    cores: int = 1
    threads: int | None = None
    most_threads: int | None = None


@dataclass(frozen=True)
class Notice:
    """Something to say to the user, on one line."""

    text: str


@dataclass(frozen=True)
class Started:
    """A worker began with a job: where, as a user would call it, and in which process, if the launcher knows."""

    job: Job
    where: str
    process: int | None = None


@dataclass(frozen=True)
class Waiting:
    """Somebody else makes this run already; it is looked at again later."""

    job: Job
    who: str


@dataclass(frozen=True)
class Finished:
    """A run is recorded.

    Attributes:
        folder: of its record.
        cached: whether it was there already when the plan was made.
    """

    job: Job
    folder: Path
    cached: bool = False


@dataclass(frozen=True)
class Failed:
    """A run ended without its record, and why, on one line."""

    job: Job
    why: str


@dataclass(frozen=True)
class Turn:
    """Nothing happened: whoever listens gets a turn, once a second or oftener."""


Event = Turn | Notice | Started | Waiting | Finished | Failed


class Launcher(Protocol):
    """Runs jobs somewhere.

    Attributes:
        summary: one line for `dfrd-bench list launchers`.
    """

    summary: str

    def launch(self, jobs: Sequence[Job], means: Means, stops: Stops) -> Generator[Event, None, None]:
        """Run `dfrd-bench run --config` on each job's `request.json`, in a process of its own, and tell what happens.

        Every job ends as `Finished` or `Failed`, once, whatever happens to the others. How far a run is, its folder tells
        (`status`): a launcher whose workers write into another folder brings that back. When the generator is closed, or `stops`
        raises in it, the workers are told to end, and it returns when they have.

        Raises:
            DfrdBenchError: this cannot be done here at all; before the first job starts.
        """
        ...
