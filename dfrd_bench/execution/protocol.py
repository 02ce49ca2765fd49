"""What a launcher is: it takes jobs, and yields what happens to them. Plugins register theirs as `dfrd_bench.launchers`."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

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
class Lost:
    """The worker of a run is gone, its machine perhaps; the run is not to blame, and is begun again from what came back of it."""

    job: Job
    why: str


@dataclass(frozen=True)
class Handed:
    """The job is another's from here on, a batch system's say, and is not waited for: how it stands, its folder tells."""

    job: Job
    where: str


@dataclass(frozen=True)
class Turn:
    """Nothing happened: whoever listens gets a turn, once a second or oftener."""


Event = Turn | Notice | Started | Waiting | Lost | Handed | Finished | Failed
HELP, METAVAR = "help", "metavar"


def option(help: str, default: str | bool | int | float | None = None, metavar: str = "TEXT") -> Any:
    """A field of a launcher that is a dataclass, which the command line takes as an option of the field's name.

    Args:
        help: one line for `dfrd-bench suite --launcher NAME --help`.
        default: its value where the option is not given; an option without one is a text. False makes it a flag.
        metavar: what help calls the value.
    """
    return field(default=default, metadata={HELP: help, METAVAR: metavar})


def options_of(launcher: object) -> dict[str, Mapping[str, Any]]:
    """The fields of a launcher that are options, by name, with what `option` was told; none where it is no dataclass."""
    found = fields(launcher) if hasattr(type(launcher), "__dataclass_fields__") else ()  # type: ignore[arg-type]
    return {one.name: {**one.metadata, "default": one.default} for one in found if HELP in one.metadata}


L = TypeVar("L", bound="Launcher")


def with_options(launcher: L, values: Mapping[str, Any]) -> L:
    """A launcher with values of its options; as it is where there are none."""
    return replace(launcher, **values) if values else launcher  # type: ignore[type-var]


class Launcher(Protocol):
    """Runs jobs somewhere. What is registered is an object; where it is of a frozen dataclass, it may have options (`option`)."""

    @property
    def summary(self) -> str:
        """One line for `dfrd-bench list launchers`; an attribute will do."""
        ...

    def launch(self, jobs: Sequence[Job], means: Means, stops: Stops) -> Generator[Event, None, None]:
        """Run `dfrd-bench run --config` on each job's `request.json`, in a process of its own, and tell what happens.

        Every job ends as `Finished`, `Failed` or `Handed`, once, whatever happens to the others. How far a run is, its folder
        tells (`status`): a launcher whose workers write into another folder brings that back. When the generator is closed, or
        `stops` raises in it, the workers are told to end, and it returns when they have.

        Raises:
            DfrdBenchError: this cannot be done here at all; before the first job starts.
        """
        ...
