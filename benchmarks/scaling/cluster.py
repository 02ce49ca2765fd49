"""A launcher whose workers are made up: runs of fake length, on machines that fail, in a time that costs none."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dfrd_bench.execution.protocol import Event, Finished, Job, Lost, Means, Started
from dfrd_bench.observer import Stops

HOUR = 3600.0


@dataclass(frozen=True)
class World:
    """What is made up. All times in seconds.

    Attributes:
        workers: runs at a time.
        length: of a run, on average.
        spread: runs take between 1 − spread and 1 + spread of that, all as likely.
        start: what a run takes until it goes on, each time that it is begun.
        checkpoint: between two checkpoints; what came after the last is lost with a worker.
        between_failures: of one worker, on average, exponentially distributed; none fails when None.
        repair: until a worker that failed is back.
        seed: of all draws.
    """

    workers: int
    length: float = 2.5 * HOUR
    spread: float = 0.5
    start: float = 60.0
    checkpoint: float = 600.0
    between_failures: float | None = 100 * HOUR
    repair: float = HOUR
    seed: int = 0

    def length_of(self, job: Job) -> float:
        """How long a run takes, the same however many workers there are."""
        return self.length * (1 + self.spread * random.Random(f"{self.seed} {job.number}").uniform(-1, 1))


@dataclass(frozen=True, order=True)
class _Ahead:
    """What will happen: when, to which worker; to which run, that it has spent so long on; and whether it is finished then."""

    at: float
    worker: int
    job: Job | None = field(default=None, compare=False)
    spent: float = field(default=0.0, compare=False)
    finished: bool = field(default=False, compare=False)


class Cluster:
    """See `dfrd_bench.execution.protocol.Launcher`; afterwards, what happened.

    Attributes:
        makespan: until the last run was finished.
        busy: time that workers spent on runs.
        lost: of that, what was done in vain, since the last checkpoint before a failure.
        failures: of workers that were at a run.
    """

    summary = "made up"

    def __init__(self, world: World) -> None:
        self.world = world
        self.makespan = self.busy = self.lost = 0.0
        self.failures = 0

    def launch(self, jobs: Sequence[Job], means: Means, stops: Stops) -> Generator[Event, None, None]:
        """Tell what would happen, in order, at once. A run whose worker failed is the next to begin, from its checkpoint."""
        world, draws = self.world, random.Random(self.world.seed)
        left = {job.number: world.length_of(job) for job in jobs}
        waiting, idle = deque(jobs), [*range(world.workers)][::-1]
        ahead: list[_Ahead] = []
        now, finished = 0.0, 0
        while finished < len(jobs):
            stops.safe_point()
            while waiting and idle:
                job, worker = waiting.popleft(), idle.pop()
                needs = world.start + left[job.number]
                fails = draws.expovariate(1 / world.between_failures) if world.between_failures else math.inf
                spent = min(needs, fails)
                heapq.heappush(ahead, _Ahead(now + spent, worker, job, spent, needs <= fails))
                yield Started(job, f"worker {worker}")
            event = heapq.heappop(ahead)
            now = event.at
            self.busy += event.spent
            if event.job is None or event.finished:
                idle.append(event.worker)
            if event.job is None:
                continue
            if event.finished:
                finished, self.makespan = finished + 1, now
                yield Finished(event.job, Path(event.job.request.results) / "made-up" / str(event.job.number))
                continue
            kept = max(0.0, event.spent - world.start) // world.checkpoint * world.checkpoint
            left[event.job.number] -= kept
            self.lost, self.failures = self.lost + event.spent - kept, self.failures + 1
            waiting.appendleft(event.job)
            heapq.heappush(ahead, _Ahead(now + world.repair, event.worker))
            yield Lost(event.job, f"worker {event.worker} failed")
