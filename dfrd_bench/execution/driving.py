"""A plan through a launcher: what is recorded is left out, and how every job ended is kept where `status` finds it."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from dfrd_bench.errors import DfrdBenchError, asked_to_stop
from dfrd_bench.execution.jobs import FAILED, FINISHED, RUNNING, STOPPED, jobs_of, write_outcome, write_request
from dfrd_bench.execution.protocol import Event, Failed, Finished, Job, Launcher, Means, Started, Waiting
from dfrd_bench.execution.status import standing
from dfrd_bench.observer import Stops
from dfrd_bench.records.store import load_record
from dfrd_bench.runs.leftovers import left_in
from dfrd_bench.runs.preparation import prepare
from dfrd_bench.runs.request import Request
from dfrd_bench.runs.subject import check_own_images, check_trained_on

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
        if (folder := _recorded(job.request)) is None:
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


def _recorded(request: Request) -> Path | None:
    """The folder of a run that is there with all that is asked for, of these teachers' weights and these images; else None.

    Only where it seems to be there are its teachers loaded, to be sure of it. What is wrong then is a worker's to say, and what a
    killed one left behind is a worker's to remove.
    """
    now = standing(request)
    if now.stage != "done":
        return None
    try:
        prepared = prepare(replace(request, device="cpu"))
        folder = prepared.spec.folder(Path(request.results))
        record = load_record(folder)
        check_own_images(record, prepared.dataset)
        check_trained_on(folder, record.dataset.training_digest, prepared.training_digest)
    except BaseException as error:
        if asked_to_stop(error):
            raise
        return None
    return folder if folder == now.folder and not left_in(folder, record) else None
