"""Who is at work in a folder, and whether that process is still alive: read from its lock file."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from pathlib import Path

from dfrd_bench.records.alone import LOCK_FILE, SILENCE, said


@dataclass(frozen=True)
class Worker:
    """Who is at work in a folder, as its lock file says: host, process, and when its heart last beat (seconds since 1970)."""

    host: str
    process: int
    beat: float

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


def at_work(folder: Path) -> Worker | None:
    """Who is at work in a folder; None if nobody is, or nobody alive. The lock is only read, so nobody is kept from taking it.

    Of this host a worker is alive while its process is there. Of another it is while its heart beat within `SILENCE` seconds,
    which takes clocks that agree as far.
    """
    try:
        with (folder / LOCK_FILE).open("rb") as file:
            there = said(file)
        worker = Worker(str(there["host"]), int(there["process"]), float(there["beat"]))
    except (OSError, KeyError, TypeError, ValueError):
        return None
    return worker if is_alive(worker.host, worker.process, worker.beat) else None


def is_alive(host: str, process: int, seen: float) -> bool:
    """Whether a process that said at a time (seconds since 1970) that it was there still is.

    Args:
        host: where it runs.
        process: its number, which the system gives to another once it has ended.
        seen: when it said so last.
    """
    if host != socket.gethostname():
        return abs(time.time() - seen) < SILENCE
    import psutil

    try:
        found = psutil.Process(process)
        return bool(found.create_time() <= seen + 1 and found.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, OverflowError, ValueError):
        return False
