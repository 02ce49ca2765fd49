"""A plan through a launcher: what is recorded is left out, and how every job ended is kept where `status` finds it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from dfrd_bench.errors import asked_to_stop
from dfrd_bench.execution.jobs import FAILED, FINISHED, RUNNING, STOPPED, jobs_of, write_outcome, write_request
from dfrd_bench.execution.protocol import Event, Failed, Finished, Job, Launcher, Means, Started, Waiting
from dfrd_bench.execution.status import standing
from dfrd_bench.observer import Stops
from dfrd_bench.runs.preparation import prepare
from dfrd_bench.runs.request import Request


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
            write_outcome(started.job, STOPPED, where=started.where, process=started.process)


def _keep(event: Event, running: dict[Path, Started]) -> None:
    """Note an event in the job's folder."""
    match event:
        case Started(job, where, process):
            running[job.folder] = event
            write_outcome(job, RUNNING, where=where, process=process)
        case Waiting(job):
            running.pop(job.folder, None)
        case Finished(job):
            running.pop(job.folder, None)
            write_outcome(job, FINISHED)
        case Failed(job, why):
            last = running.pop(job.folder, None)
            where, process = (last.where, last.process) if last else ("", None)
            write_outcome(job, FAILED, why=why, where=where, process=process)


def _recorded(request: Request) -> Path | None:
    """The folder of a run that is there with all that is asked for, its teachers' weights included; None if a worker must look.

    Only where it seems to be there are its teachers loaded, to be sure of it. What is wrong then is a worker's to say.
    """
    now = standing(request)
    if now.stage != "done":
        return None
    try:
        spec = prepare(replace(request, device="cpu")).spec
    except BaseException as error:
        if asked_to_stop(error):
            raise
        return None
    folder = spec.folder(Path(request.results))
    return folder if folder == now.folder else None
