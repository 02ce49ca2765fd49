"""A plan through a launcher: what is recorded is left out, and how every job ended is kept where `status` finds it."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.execution.jobs import FAILED, FINISHED, HANDED, RUNNING, STOPPED, jobs_of, write_outcome, write_request
from dfrd_bench.execution.protocol import Event, Failed, Finished, Handed, Job, Launcher, Lost, Means, Started, Waiting
from dfrd_bench.execution.recorded import recorded
from dfrd_bench.observer import Stops
from dfrd_bench.runs.request import Request

log = logging.getLogger(__name__)


def drive(launcher: Launcher, requests: Sequence[Request], means: Means, stops: Stops) -> Generator[Event, None, None]:
    """Have a launcher make all runs of a plan that are not recorded yet, and pass on what it tells.

    Close the generator, or let it end: the workers end with it.

    Raises:
        DfrdBenchError: two requests are the same, nothing can be written to the results folder, or see the launcher.
    """
    jobs = jobs_of(requests)
    wanted: list[Job] = []
    for job in jobs:
        stops.safe_point()
        if (folder := recorded(job.request)) is None:
            write_request(job)
            wanted.append(job)
        else:
            yield Finished(job, folder, cached=True)
    running: dict[Path, Started] = {}
    try:
        with closing(launcher.launch(wanted, means, stops)) as events:
            for event in events:
                _keep(event, running)
                yield event
    finally:
        for started in running.values():
            _write(started.job, STOPPED, started)


def _keep(event: Event, running: dict[Path, Started]) -> None:
    """Note an event in the job's folder."""
    match event:
        case Started(job):
            running[job.folder] = event
            _write(job, RUNNING, event)
        case Waiting(job):
            running.pop(job.folder, None)
        case Lost(job, why):
            _write(job, STOPPED, running.pop(job.folder, None), why)
        case Handed(job, where):
            _write(job, HANDED, Started(job, where))
        case Finished(job):
            _write(job, FINISHED, running.pop(job.folder, None))
        case Failed(job, why):
            _write(job, FAILED, running.pop(job.folder, None), why)


def _write(job: Job, outcome: str, started: Started | None, why: str = "") -> None:
    """Keep an outcome; where the disk is full, say, that is no reason to end the others."""
    where, process = (started.where, started.process) if started else ("", None)
    try:
        write_outcome(job, outcome, why=why, where=where, process=process)
    except DfrdBenchError as error:
        log.warning("That %s is %s is not kept: %s", job.request, outcome, error)
