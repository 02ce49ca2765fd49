"""One process that makes the run of a job: begun, watched and ended in the same way by every launcher."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from dfrd_bench.execution.deaths import said_at_the_end, why_it_ended
from dfrd_bench.execution.jobs import LOG_FILE, REQUEST_FILE
from dfrd_bench.execution.protocol import Failed, Finished, Job, Waiting
from dfrd_bench.execution.status import standing
from dfrd_bench.records.alone import TAKEN
from dfrd_bench.records.reading import MIB

WORKER = "dfrd_bench.cli.worker"  # the command line, that ends when the launcher does
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
GRACE = 30.0  # seconds that a worker has to end at once
CHECKPOINT_GRACE = 600.0  # seconds that it has to come to a checkpoint


@dataclass
class Attempt:
    """A process that makes a run.

    Attributes:
        job: whose run.
        process: the worker.
        begin: of its part of the job's log, in bytes.
    """

    job: Job
    process: subprocess.Popen[bytes]
    begin: int

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def end(self) -> tuple[int, str]:
        """Of one that has ended: its exit code, as of `subprocess`, and what it said last (see `said_at_the_end`)."""
        _let_go(self)
        return self.process.returncode, said_at_the_end(self.job.folder / LOG_FILE, self.begin)


def begin(job: Job, environment: Mapping[str, str], cwd: str | None = None) -> Attempt:
    """A process for a job, in a group of its own: what a terminal sends to the launcher does not reach it by another way.

    Args:
        job: its `request.json` is there.
        environment: what it finds beside this process's own.
        cwd: where it works; here when None.

    Raises:
        OSError: the log cannot be written, or there is no room for a process.
    """
    command = [sys.executable, "-m", WORKER, "run", "--config", str(job.folder / REQUEST_FILE)]
    with (job.folder / LOG_FILE).open("ab") as log:
        if log.tell() > MIB:
            log.truncate(0)
        start = log.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,  # nothing is written: it closes when the launcher ends, however it does
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
            cwd=cwd,
        )
    return Attempt(job, process, start)


def told_of(job: Job, code: int, said: str) -> Finished | Failed | Waiting:
    """What came of a job whose worker ended.

    Args:
        job: as the launcher has it: its results folder is looked at.
        code: see `Attempt.end`.
        said: see there.
    """
    if code == 0:
        now = standing(job.request)
        return (
            Finished(job, now.folder)
            if now.stage == "done" and now.folder
            else Failed(job, f"It ended without a record{f': {now.why}' if now.why else ''}.")
        )
    if TAKEN in said:
        return Waiting(job, "another process")
    return Failed(job, why_it_ended(code, said))


def end_all(attempts: Sequence[Attempt], number: int, grace: float | None = None) -> None:
    """Have all workers end, by a signal, and wait until they have; those that do not in time are killed.

    Args:
        attempts: whose workers.
        number: of the signal.
        grace: seconds; as the signal needs by default.
    """
    if grace is None:
        grace = GRACE if number == signal.SIGINT else CHECKPOINT_GRACE
    until = time.monotonic() + grace
    for attempt in attempts:
        with suppress(OSError):
            attempt.process.send_signal(number) if os.name == "posix" else attempt.process.terminate()
    for attempt in attempts:
        try:
            attempt.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            _kill(attempt.process)
            attempt.process.wait()
        _let_go(attempt)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process at once, and what it started."""
    if os.name != "posix":
        process.kill()
        return
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)  # it leads a group of its own


def _let_go(attempt: Attempt) -> None:
    """Close the pipe to a process that has ended."""
    if attempt.process.stdin:
        with suppress(OSError):
            attempt.process.stdin.close()
