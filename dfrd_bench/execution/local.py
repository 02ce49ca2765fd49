"""The launcher of one machine: a queue over its GPUs or its cores, each run in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from dfrd_bench.execution.deaths import said_at_the_end, why_it_ended
from dfrd_bench.execution.jobs import LOG_FILE, REQUEST_FILE
from dfrd_bench.execution.places import Place, places_of, visible_gpus
from dfrd_bench.execution.protocol import Event, Failed, Finished, Job, Means, Notice, Started, Turn, Waiting
from dfrd_bench.execution.status import standing
from dfrd_bench.observer import Stops
from dfrd_bench.records.alone import TAKEN
from dfrd_bench.records.files import unwritable
from dfrd_bench.records.presence import at_work
from dfrd_bench.records.reading import MIB

WORKER = "dfrd_bench.cli.worker"  # the command line, that ends when the launcher does
POLL = 0.1  # seconds between two looks at the workers
AGAIN = 5.0  # seconds until a run that somebody else makes is looked at again
GRACE = 30.0  # seconds that a worker has to end at once
CHECKPOINT_GRACE = 600.0  # seconds that it has to come to a checkpoint


@dataclass
class _Worker:
    job: Job
    place: Place
    process: subprocess.Popen[bytes]
    begin: int  # of its part of the log, in bytes


@dataclass
class _Queue:
    """Jobs that wait, with the time from which each may be begun, and the places that are free."""

    waiting: deque[tuple[float, Job]]
    free: list[Place]
    running: list[_Worker] = field(default_factory=list)

    def next(self) -> Job | None:
        """A job that may begin now; None if there is none, or no place."""
        for _ in range(len(self.waiting) if self.free else 0):
            after, job = self.waiting.popleft()
            if time.monotonic() >= after:
                return job
            self.waiting.append((after, job))
        return None

    def put_off(self, job: Job) -> None:
        """Behind all others, and not at once."""
        self.waiting.append((time.monotonic() + AGAIN, job))


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
        queue = _Queue(deque((0.0, job) for job in jobs), places)
        try:
            with stops.deferred():
                while queue.waiting or queue.running:
                    stops.safe_point()
                    yield from _begun(queue)
                    yield from _ended(queue)
                    yield Turn()
                    time.sleep(POLL)
        finally:
            _end(queue.running, stops.number or signal.SIGTERM)


local = Local(summary="This machine: a queue over its GPUs, or over its cores with the threads divided among the jobs.")


def _begun(queue: _Queue) -> Iterator[Event]:
    """Begin what there is a place for."""
    while (job := queue.next()) is not None:
        folder = standing(job.request).folder
        if folder is not None and (other := at_work(folder)):
            queue.put_off(job)
            yield Waiting(job, str(other))
            continue
        try:
            worker = _start(job, queue.free[0])
        except OSError as error:
            yield Failed(job, str(unwritable(job.folder / LOG_FILE, error)))
            continue
        queue.free.pop(0)
        queue.running.append(worker)
        yield Started(job, worker.place.name, worker.process.pid)


def _start(job: Job, place: Place) -> _Worker:
    """A process for a job, in a group of its own: what a terminal sends to the launcher does not reach it by another way."""
    command = [sys.executable, "-m", WORKER, "run", "--config", str(job.folder / REQUEST_FILE)]
    path = job.folder / LOG_FILE
    with path.open("ab") as log:
        if log.tell() > MIB:
            log.truncate(0)
        begin = log.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # nothing is written: it closes when the launcher ends, however it does
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **place.environment},
            start_new_session=True,
        )
    return _Worker(job, place, process, begin)


def _ended(queue: _Queue) -> Iterator[Event]:
    """What happened to those that have ended."""
    for worker in [one for one in queue.running if one.process.poll() is not None]:
        queue.running.remove(worker)
        queue.free.append(worker.place)
        _let_go(worker)
        job, code = worker.job, worker.process.returncode
        said = said_at_the_end(job.folder / LOG_FILE, worker.begin)
        if code == 0:
            now = standing(job.request)
            done = now.stage == "done" and now.folder is not None
            yield Finished(job, now.folder) if done and now.folder else Failed(job, "It ended without a record.")
        elif TAKEN in said:
            queue.put_off(job)
            yield Waiting(job, "another process")
        else:
            yield Failed(job, why_it_ended(code, said))


def _end(running: Sequence[_Worker], number: int) -> None:
    """Have all workers end, by a signal, and wait until they have; those that do not in time are killed."""
    until = time.monotonic() + (GRACE if number == signal.SIGINT else CHECKPOINT_GRACE)
    for worker in running:
        with suppress(OSError):
            worker.process.send_signal(number) if os.name == "posix" else worker.process.terminate()
    for worker in running:
        try:
            worker.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            _kill(worker.process)
            worker.process.wait()
        _let_go(worker)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process at once, and what it started."""
    if os.name != "posix":
        process.kill()
        return
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)  # it leads a group of its own


def _let_go(worker: _Worker) -> None:
    """Close the pipe to a process that has ended."""
    if worker.process.stdin:
        with suppress(OSError):
            worker.process.stdin.close()
