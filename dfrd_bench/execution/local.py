"""The launcher of one machine: a queue over its GPUs or its cores, each run in a process of its own."""

from __future__ import annotations

import signal
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field

from dfrd_bench.execution.attempts import Attempt, begin, end_all, told_of
from dfrd_bench.execution.jobs import LOG_FILE
from dfrd_bench.execution.places import Place, places_of, visible_gpus
from dfrd_bench.execution.protocol import Event, Failed, Job, Means, Notice, Started, Turn, Waiting
from dfrd_bench.execution.waitlist import Waitlist
from dfrd_bench.observer import Stops
from dfrd_bench.records.files import unwritable

POLL = 0.1  # seconds between two looks at the workers


@dataclass
class _Machine:
    """Jobs that wait, the places that are free, and who works in the others."""

    waiting: Waitlist
    free: list[Place]
    running: list[tuple[Attempt, Place]] = field(default_factory=list)


@dataclass(frozen=True)
class Local:
    """See `dfrd_bench.execution.protocol.Launcher`."""

    summary: str

    def launch(self, jobs: Sequence[Job], means: Means, stops: Stops) -> Generator[Event, None, None]:
        """Run the jobs, so many at a time.

        Raises:
            DfrdBenchError: see `places_of`.
        """
        device = jobs[0].request.device if jobs else "cpu"
        places, fewer = places_of(means, device, [] if device == "cpu" else visible_gpus())
        if fewer:
            yield Notice(fewer)
        machine = _Machine(Waitlist(jobs), places)
        try:
            with stops.deferred():
                while machine.waiting or machine.running:
                    stops.safe_point()
                    yield from _begun(machine)
                    yield from _ended(machine)
                    yield Turn()
                    time.sleep(POLL)
        finally:
            end_all([attempt for attempt, _ in machine.running], stops.number or signal.SIGTERM)


local = Local(summary="This machine: a queue over its GPUs, or over its cores with the threads divided among the jobs.")


def _begun(machine: _Machine) -> Iterator[Event]:
    """Begin what there is a place for."""
    while machine.free and (job := machine.waiting.next()) is not None:
        if isinstance(job, Waiting):
            yield job
            continue
        try:
            attempt = begin(job, machine.free[0].environment)
        except OSError as error:
            yield Failed(job, str(unwritable(job.folder / LOG_FILE, error)))
            continue
        place = machine.free.pop(0)
        machine.running.append((attempt, place))
        yield Started(job, place.name, attempt.process.pid)


def _ended(machine: _Machine) -> Iterator[Event]:
    """What happened to those that have ended."""
    for attempt, place in [one for one in machine.running if not one[0].running]:
        machine.running.remove((attempt, place))
        machine.free.append(place)
        event = told_of(attempt.job, *attempt.end())
        if isinstance(event, Waiting):
            machine.waiting.put_off(event.job)
        yield event
