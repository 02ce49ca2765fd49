"""What is kept of a job beside its run: what was asked for, what its workers wrote, and how it ended."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.execution.protocol import Job
from dfrd_bench.records.files import file_name, write_atomically
from dfrd_bench.records.reading import MIB, brief, read_text
from dfrd_bench.runs.request import Request

FOLDER = "launched"  # in a results folder
REQUEST_FILE = "request.json"
LOG_FILE = "log"
OUTCOME_FILE = "outcome.json"
LABEL_LENGTH = 80
ELSEWHERE = ("results", "device", "evaluation_jobs")  # what a request says about the place, not about the run
RUNNING, FINISHED, FAILED, STOPPED, HANDED = "running", "finished", "failed", "stopped", "handed"


@dataclass(frozen=True)
class Outcome:
    """How a job stands as far as its driver knows.

    Attributes:
        outcome: running, finished, failed, stopped, or handed to a batch system.
        why: of a failed one, or of one whose worker was lost.
        where: it was started, or handed to.
        host, process: of the worker, where they are known; 0 where not.
        at: when this was written, in seconds since 1970.
    """

    outcome: str
    why: str = ""
    where: str = ""
    host: str = ""
    process: int = 0
    at: float = 0.0


def job_folder(request: Request) -> Path:
    """Where a job's files are: below the results folder, named by what is asked for."""
    asked = {name: value for name, value in request.to_dict().items() if name not in ELSEWHERE}
    key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:8]
    return Path(request.results) / FOLDER / f"{file_name(str(request))[:LABEL_LENGTH]}-{key}"


def jobs_of(requests: Sequence[Request]) -> list[Job]:
    """A job for each request, in order.

    Raises:
        DfrdBenchError: two requests are the same.
    """
    jobs = [Job(number, request, job_folder(request)) for number, request in enumerate(requests, start=1)]
    seen: dict[Path, Job] = {}
    for job in jobs:
        if (other := seen.setdefault(job.folder, job)) is not job:
            raise DfrdBenchError(f"Runs {other.number} and {job.number} of the plan are the same: {job.request}.")
    return jobs


def write_request(job: Job) -> None:
    """Say what is asked for, so that a worker can read it.

    Raises:
        DfrdBenchError: it cannot be written.
    """
    text = json.dumps(job.request.to_dict(), indent=1, ensure_ascii=False) + "\n"
    write_atomically(job.folder / REQUEST_FILE, text.encode())


def write_outcome(job: Job, outcome: str, *, why: str = "", where: str = "", process: int | None = None) -> None:
    """Say how a job stands.

    Raises:
        DfrdBenchError: it cannot be written.
    """
    said: dict[str, Any] = {
        **{"outcome": outcome, "why": brief(why), "where": where},
        **{"host": socket.gethostname(), "process": process or 0, "at": time.time()},
    }
    write_atomically(job.folder / OUTCOME_FILE, (json.dumps(said) + "\n").encode())


def read_outcome(folder: Path) -> Outcome | None:
    """What a driver said last of a job; None where that is nothing, or nothing that can be read."""
    path = folder / OUTCOME_FILE
    if not os.path.lexists(path):
        return None
    try:
        said = json.loads(read_text(path, MIB))
        texts = {name: str(said[name]) for name in ("outcome", "why", "where", "host")}
        return Outcome(**texts, process=int(said["process"]), at=float(said["at"]))
    except (DfrdBenchError, ValueError, KeyError, TypeError, RecursionError):
        return None
