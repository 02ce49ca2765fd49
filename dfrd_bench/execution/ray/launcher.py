"""The launcher of Ray's clusters: one task for each run, on disks of their own or on a shared one."""

from __future__ import annotations

import math
import signal
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dfrd_bench.execution.attempts import CHECKPOINT_GRACE, GRACE
from dfrd_bench.execution.jobs import FOLDER
from dfrd_bench.execution.protocol import Event, Failed, Finished, Job, Lost, Means, Notice, Turn, Waiting, option
from dfrd_bench.execution.ray.cluster import check_workers, connected, nodes_of
from dfrd_bench.execution.ray.flight import Flight
from dfrd_bench.execution.ray.messages import Order
from dfrd_bench.execution.ray.outgoing import files_of
from dfrd_bench.execution.ray.remote import attempt, send_signal
from dfrd_bench.execution.ray.room import Room, room_in
from dfrd_bench.execution.recorded import recorded
from dfrd_bench.execution.status import standing
from dfrd_bench.execution.waitlist import Waitlist
from dfrd_bench.observer import Stops
from dfrd_bench.runs.installation import versions_for

POLL = 0.2  # seconds between two looks at what workers say
CHECKPOINT_EVERY = 180.0  # seconds
WAITED = 60.0  # seconds without any run, after which that is said
LOSSES = 3  # of workers, after which a run is not begun again


@dataclass(frozen=True)
class Ray:
    """See `dfrd_bench.execution.protocol.Launcher`."""

    summary: str
    address: str | None = option(
        "Of the cluster: HOST:PORT or auto; $RAY_ADDRESS, or one of this machine alone, by default.", metavar="ADDRESS"
    )
    shared: bool = option("All nodes see the results folder: nothing is brought back, workers write into it.", False)

    def launch(self, jobs: Sequence[Job], means: Means, stops: Stops) -> Generator[Event, None, None]:
        """Run the jobs as tasks of a cluster.

        Raises:
            DfrdBenchError: it does not answer or has no room for such runs; a node has other versions or does not see the folder.
        """
        if not jobs:
            return
        with connected(self.address, means.cores) as ray:
            request = jobs[0].request
            room = room_in([node["Resources"] for node in nodes_of(ray)], means, request.device)
            versions = versions_for(job.request for job in jobs)
            check_workers(ray, versions, (Path(request.results) / FOLDER).absolute() if self.shared else None)
            if room.said:
                yield Notice(room.said)
            fleet = _Fleet(ray, room, Waitlist(jobs), versions, self.shared)
            try:
                with stops.deferred():
                    while fleet.waiting or fleet.flights:
                        stops.safe_point()
                        yield from fleet.begin()
                        yield from fleet.listen()
                        yield from fleet.no_room()
                        yield Turn()
            finally:
                fleet.end(stops.number or signal.SIGTERM)


ray = Ray(summary="A Ray cluster: one task for each run, with or without a disk that all nodes see.")


@dataclass
class _Fleet:
    """All attempts of a launch, on a cluster."""

    ray: Any
    room: Room
    waiting: Waitlist
    versions: dict[str, str]
    shared: bool
    flights: list[Flight] = field(default_factory=list)
    losses: Counter[Path] = field(default_factory=Counter)
    busy: float = field(default_factory=time.monotonic)  # when a run was last at work

    def begin(self) -> Iterator[Event]:
        """Give Ray what may be begun; it waits there for its place."""
        while (self.room.jobs is None or len(self.flights) < self.room.jobs) and (
            job := self.waiting.next()
        ) is not None:
            if isinstance(job, Waiting):
                yield job
            elif folder := recorded(job.request):  # by somebody else, meanwhile
                yield Finished(job, folder)
            else:
                self.flights.append(Flight(job, self._submitted(job)))

    def _submitted(self, job: Job) -> Any:
        """Ray's generator of what comes of a job. Ray itself tries nothing again: lost workers are counted here."""
        request = replace(job.request, results=str(Path(job.request.results).absolute()))
        order = Order(
            *(request.to_dict(), self.shared, str(Path.cwd()), self.room.threads, self.versions, CHECKPOINT_EVERY)
        )
        there = standing(job.request)
        begun = there.folder if there.stage != "done" and not self.shared else None  # what is done is of other weights
        files = files_of(begun, Path(job.request.results)) if begun else {}
        task = self.ray.remote(
            num_cpus=self.room.threads,
            num_gpus=self.room.gpus,
            max_retries=0,
            num_returns="streaming",
            name=str(job.request),
        )(attempt)
        return task.remote(order, self.ray.put(files))

    def listen(self) -> Iterator[Event]:
        """What workers have said; waits a moment where that is nothing."""
        if not self.flights:
            time.sleep(POLL)
            return
        ready = self._ready(1, POLL)
        while ready:
            for flight in ready:
                for event in self._next(flight):
                    yield from self._settled(event)
                if flight.over:
                    self._drop(flight)
            ready = self._ready(len(self.flights), 0.0)

    def no_room(self) -> Iterator[Event]:
        """Say once that Ray begins nothing: its last node with room may be gone, and another may come."""
        if not self.flights or any(flight.here for flight in self.flights):
            self.busy = time.monotonic()
        elif time.monotonic() - self.busy > WAITED:
            self.busy = math.inf
            yield Notice("The Ray cluster has no room for a run now; it is waited for.")

    def _ready(self, count: int, patience: float) -> list[Flight]:
        """Flights of which there is something to hear, as soon as there are so many, or after so many seconds."""
        flights = {flight.stream: flight for flight in self.flights}
        if not flights:
            return []
        ready, _ = self.ray.wait([*flights], num_returns=count, timeout=patience, fetch_local=False)
        return [flights[stream] for stream in ready]

    def _next(self, flight: Flight) -> Iterator[Event]:
        try:
            yield from flight.heard(self.ray.get(next(flight.stream)))
        except StopIteration:
            flight.close()
            yield Lost(flight.job, "Its worker ended without a word.")
        except (self.ray.exceptions.RayError, OSError) as error:
            yield flight.failed(error, self.ray)

    def _settled(self, event: Event) -> Iterator[Event]:
        """An event, after what has to be done about it."""
        match event:
            case Waiting(job):
                self.waiting.put_off(job)
            case Lost(job, why):
                self.losses[job.folder] += 1
                if self.losses[job.folder] > LOSSES:
                    event = Failed(job, f"{LOSSES + 1} workers were lost with it, the last so: {why}")
                else:
                    self.waiting.put_first(job)
        yield event

    def _drop(self, flight: Flight) -> None:
        self.flights.remove(flight)
        with suppress(Exception):  # it has ended, or Ray has
            self.ray.cancel(flight.stream)

    def end(self, number: int) -> None:
        """Tell all workers to end, take what they have come to, and end those that do not."""
        until = time.monotonic() + (GRACE if number == signal.SIGINT else CHECKPOINT_GRACE)
        self._tell(number)
        for flight in [*self.flights]:
            if flight.here is None:  # it has not begun
                flight.close()
                self._drop(flight)
        while self.flights and time.monotonic() < until:
            for _ in self.listen():
                pass
        for flight in [*self.flights]:
            flight.close()
            with suppress(Exception):
                self.ray.cancel(flight.stream, force=True)

    def _tell(self, number: int) -> None:
        """Send a signal to every run's process, by a task on its node."""
        affinity = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        told = [
            self.ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=affinity(here.node, soft=False))(
                send_signal
            ).remote(here.process, int(number))
            for here in (flight.here for flight in self.flights)
            if here is not None
        ]
        if told:
            self.ray.wait(told, num_returns=len(told), timeout=GRACE)
