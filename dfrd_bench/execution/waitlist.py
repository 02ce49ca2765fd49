"""Jobs that wait for a place, some of them because somebody else makes their run already."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

from dfrd_bench.execution.protocol import Job, Waiting
from dfrd_bench.execution.status import standing
from dfrd_bench.records.presence import at_work

AGAIN = 5.0  # seconds until a run that somebody else makes is looked at again


class Waitlist:
    """Jobs in order, with the time from which each may be begun.

    Args:
        jobs: which may be begun at once.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._waiting = deque((0.0, job) for job in jobs)

    def __len__(self) -> int:
        return len(self._waiting)

    def next(self) -> Job | Waiting | None:
        """A job that may begin now; or that somebody else makes its run, which puts it off; None if none may."""
        for _ in range(len(self._waiting)):
            after, job = self._waiting.popleft()
            if time.monotonic() < after:
                self._waiting.append((after, job))
                continue
            folder = standing(job.request).folder
            if folder is not None and (other := at_work(folder)):
                self.put_off(job)
                return Waiting(job, str(other))
            return job
        return None

    def put_off(self, job: Job) -> None:
        """Behind all others, and not at once."""
        self._waiting.append((time.monotonic() + AGAIN, job))

    def put_first(self, job: Job) -> None:
        """Before all others, at once."""
        self._waiting.appendleft((0.0, job))
