"""`python -m dfrd_bench.cli.task REQUEST.json`: one job of a plan, as a task of a Slurm array.

The run has a process of its own, as everywhere. SIGUSR1, which Slurm sends before the time limit, has it write a checkpoint, and
the task is queued again; the exit code is 0 where the run is recorded or somebody else makes it, and otherwise not.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import click

from dfrd_bench.cli.signals import CODE, NAMES, listening
from dfrd_bench.cli.streams import one_line
from dfrd_bench.errors import DfrdBenchError, Stopped
from dfrd_bench.execution.attempts import begin, end_all, told_of
from dfrd_bench.execution.jobs import FAILED, FINISHED, RUNNING, STOPPED, write_outcome
from dfrd_bench.execution.protocol import Failed, Finished, Job, Waiting
from dfrd_bench.runs.request import read_request

POLL = 0.2  # seconds between two looks at the worker
PATIENCE = 60.0  # seconds that scontrol may take
STOPS = {getattr(signal, name) for name in NAMES if hasattr(signal, name)}


def task(request_file: Path) -> int:
    """Make the run, keep how it ended where `status` finds it, and return the exit code."""
    job = Job(1, read_request(request_file), request_file.parent)
    number = _job_number()
    where = f"Slurm job {number or '?'}"
    with listening() as signals:
        attempt = begin(job, {})
        with suppress(Stopped), signals.deferred():
            write_outcome(job, RUNNING, where=where, process=attempt.process.pid)
            while attempt.running:
                signals.safe_point()
                time.sleep(POLL)
        end_all([attempt], signals.number or signal.SIGTERM)
    code, said = attempt.end()
    stop = signals.number or code - CODE  # Slurm may have sent it to the run itself
    if code and stop in STOPS:
        write_outcome(job, STOPPED, where=where)
        _say(f"{job.request}: stopped by {signal.Signals(stop).name}; it goes on from its last checkpoint.")
        if stop == signal.SIGUSR1 and number:
            _queue_again(number)
        return CODE + stop
    match told_of(job, code, said):
        case Finished(_, folder):
            write_outcome(job, FINISHED, where=where)
            _say(f"{job.request}: recorded in {folder}")
            return 0
        case Waiting(_, who):
            _say(f"{job.request}: {who} is making it.")
            return 0
        case Failed(_, why):
            write_outcome(job, FAILED, where=where, why=why)
            _say(f"Error: {job.request}: {why}")
    return 1


def _job_number() -> str:
    """This task's, as Slurm's commands take it; empty outside Slurm."""
    said = os.environ
    array = f"{said.get('SLURM_ARRAY_JOB_ID', '')}_{said.get('SLURM_ARRAY_TASK_ID', '')}"
    return array if len(array) > 2 else said.get("SLURM_JOB_ID", "")


def _queue_again(number: str) -> None:
    """Have Slurm begin this task again when there is room; it ends what is left of it here."""
    try:
        done = subprocess.run(["scontrol", "requeue", number], capture_output=True, text=True, timeout=PATIENCE)
        why = " ".join(done.stderr.split()) if done.returncode else ""
    except (OSError, subprocess.SubprocessError) as error:
        why = str(error)
    _say(f"Slurm job {number} is queued again." if not why else f"Error: it could not be queued again: {why}")


def _say(line: str) -> None:
    click.echo(one_line(line))


if __name__ == "__main__":
    try:
        sys.exit(task(Path(sys.argv[1])))
    except DfrdBenchError as error:
        _say(f"Error: {error}")
        sys.exit(error.exit_code)
