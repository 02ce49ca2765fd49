"""One attempt at a run in a Ray worker, as the driver follows it: what it says becomes files here, and events."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from dfrd_bench.errors import DfrdBenchError, in_a_line
from dfrd_bench.execution.attempts import told_of
from dfrd_bench.execution.jobs import LOG_FILE
from dfrd_bench.execution.protocol import Event, Failed, Job, Lost, Started, Waiting
from dfrd_bench.execution.ray.messages import Ended, File, Here, Log, Message, Place, Refused, Whole
from dfrd_bench.records.alone import TAKEN
from dfrd_bench.runs.arrivals import Arrivals

SHORT = 8  # digits of a node's name


class Flight:
    """One attempt.

    Args:
        job: whose run.
        stream: Ray's generator of its messages.

    Attributes:
        here: where its process is; None before it has begun.
        over: whether nothing more is to come of it.
    """

    def __init__(self, job: Job, stream: Any) -> None:
        self.job, self.stream = job, stream
        self.here: Here | None = None
        self.over = False
        self._arrivals: Arrivals | None = None

    def heard(self, message: Message) -> Iterator[Event]:
        """What a message of the worker's comes to."""
        try:
            yield from self._heard(message)
        except DfrdBenchError as error:  # the folder is another's, or cannot be written
            self.close()
            yield Waiting(self.job, "another process") if TAKEN in str(error) else Failed(self.job, str(error))

    def _heard(self, message: Message) -> Iterator[Event]:
        match message:
            case Here(host, node):
                self.here = message
                yield Started(self.job, f"{host}, Ray's node {node[:SHORT]}", os.getpid())
            case Place(name):
                self._arrivals = Arrivals(Path(self.job.request.results) / name)
            case File(name, data) if self._arrivals:
                self._arrivals.stage(name, data)
            case Whole(names) if self._arrivals:
                self._arrivals.keep(names)
            case Log(data):
                with suppress(OSError), (self.job.folder / LOG_FILE).open("ab") as log:
                    log.write(data)
            case Refused(why):
                self.close()
                yield Failed(self.job, why)
            case Ended(code, said):
                self.close()
                yield told_of(self.job, code, said)

    def failed(self, error: BaseException, ray: Any) -> Failed | Lost:
        """What it means that Ray has an error instead of a message: the run's machine or worker is gone, or it cannot be done."""
        self.close()
        where = f" on {self.here.host}" if self.here else ""
        gone = ray.exceptions
        if isinstance(error, gone.OutOfMemoryError):
            return Failed(self.job, f"Ray ended its worker{where}, because the machine's memory ran out.")
        if isinstance(error, (gone.NodeDiedError, gone.LocalRayletDiedError, gone.ObjectLostError)):
            node = f"Ray's node {self.here.node[:SHORT]}" if self.here else "Ray's node"
            return Lost(self.job, f"{node}{where} was lost.")
        if isinstance(error, gone.WorkerCrashedError):
            return Lost(self.job, f"Ray's worker{where} was lost.")
        return Failed(self.job, f"Ray: {in_a_line(getattr(error, 'cause', None) or error)}")

    def close(self) -> None:
        """Nothing more is taken of it; the folder may be another's."""
        self.over = True
        if self._arrivals:
            self._arrivals.close()
        self._arrivals = None
