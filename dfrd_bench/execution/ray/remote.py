"""What happens in a Ray worker: the run's process, and where no disk is shared, what it makes brought back."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from dfrd_bench.execution.attempts import THREADS, Attempt, begin, end_all
from dfrd_bench.execution.jobs import job_folder, write_request
from dfrd_bench.execution.protocol import Job
from dfrd_bench.execution.ray.messages import Ended, Here, Message, Order, Refused
from dfrd_bench.execution.ray.outgoing import Outgoing
from dfrd_bench.runs.installation import differing, installed
from dfrd_bench.runs.request import requested

POLL = 0.2  # seconds between two looks at the run's process
NEWS = 5.0  # seconds until its history and log are brought back again
SCRATCH = "dfrd-bench-ray-"
AT_ONCE = {"DFRD_BENCH_PATIENCE": "0"}  # nobody would fetch the checkpoint of an orphan


def attempt(order: Order, files: Mapping[str, bytes]) -> Generator[Message, None, None]:
    """Make a run in a process of its own, and tell what comes of it. When this is closed or cancelled, the process ends.

    Args:
        order: what is asked for.
        files: what there is of the run, by names relative to the results folder; where no disk is shared.
    """
    if wrong := differing(order.versions, installed(order.versions)):
        yield Refused(f"The worker on {socket.gethostname()} cannot make it: {wrong}.")
        return
    request = requested(order.request)
    scratch = None if order.shared else _scratch()
    if scratch:
        request = replace(request, results=str(scratch))
        _unpack(files, scratch)
    try:
        job = Job(1, request, job_folder(request))
        write_request(job)  # a results folder that begins at the driver's working folder is somewhere else here
        environment = {**dict.fromkeys(THREADS, str(order.threads)), **(AT_ONCE if scratch else {})}
        run = begin(job, environment, order.cwd if Path(order.cwd).is_dir() else None)
        try:
            yield Here(socket.gethostname(), _node(), run.process.pid)
            yield from _until_it_ends(run, Outgoing(scratch, job.folder, files) if scratch else None, order.every)
        finally:
            end_all([run], signal.SIGTERM, 0.0 if scratch else None)
        ended = Ended(*run.end())
    finally:
        if scratch:
            shutil.rmtree(scratch, ignore_errors=True)
    yield ended


def _node() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


def _scratch() -> Path:
    """A folder of this process's own; those that killed workers left behind are removed."""
    import psutil

    for path in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*-*"):
        owner = path.name.removeprefix(SCRATCH).partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(path, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{os.getpid()}-"))


def _until_it_ends(run: Attempt, outgoing: Outgoing | None, every: float) -> Iterator[Message]:
    news = checkpoint = time.monotonic()
    while run.running:
        time.sleep(POLL)
        if outgoing is None:
            continue
        now = time.monotonic()
        yield from outgoing.place()
        if now - checkpoint >= every:
            news = checkpoint = now
            yield from outgoing.all()
        elif now - news >= min(NEWS, every):
            news = now
            yield from outgoing.news()
    if outgoing is not None:
        yield from outgoing.place()
        yield from outgoing.all(last=True)


def _unpack(files: Mapping[str, bytes], results: Path) -> None:
    for name, data in files.items():
        path = results / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def send_signal(process: int, number: int) -> None:
    """To a run's process on this machine."""
    os.kill(process, number)
