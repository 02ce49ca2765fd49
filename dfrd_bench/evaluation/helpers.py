"""A crew of processes that attack the batches of one evaluation side by side: each on a GPU, or with one thread."""

from __future__ import annotations

import io
import logging
import math
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any

import torch
from torch import Tensor, nn

from dfrd_bench.attacks.crew import Found, Tell
from dfrd_bench.errors import DfrdBenchError, FailedError
from dfrd_bench.evaluation.messages import Asked, Batch, Done, Raised, receive, send
from dfrd_bench.evaluation.under_attack import BATCH_SIZE
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import ThreatModel
from dfrd_bench.registry import ATTACKS

log = logging.getLogger(__name__)

HELPER = "dfrd_bench.evaluation.helper"
THREADS = 1  # of each, on a CPU
EACH = 2 * 2**30  # bytes of memory that one may need
LONG = 500  # questions of attacks about an image from which on helpers pay: PGD-20 asks 20, AutoAttack thousands
COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
LOOK = 1.0  # seconds after which a signal is seen at the latest, on systems where waiting is not interrupted
GONE = 10.0  # seconds until a process whose pipe is closed has ended
KEPT = "What was found is kept: the same command goes on."


class HelperError(Exception):
    """What a helper's traceback said; the cause of what is raised here in its place."""


@dataclass(eq=False)
class _Helper:
    process: subprocess.Popen[bytes]
    errors: IO[bytes]  # what it wrote to standard error
    number: int | None = None  # of the batch that it is at

    def say(self, message: Any) -> None:
        """Tell it something; that it has ended is learnt from its own pipe."""
        assert self.process.stdin is not None
        with suppress(OSError):
            send(self.process.stdin, message)

    def why_it_ended(self) -> str:
        """Why, after its pipe was closed."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(GONE)
        code = self.process.poll()
        self.errors.seek(0)
        lines = self.errors.read().decode("utf-8", "replace").split("\n")
        said = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        if code is None or code >= 0:
            return f"ended with exit code {code}: {said}"
        with suppress(ValueError):
            name = signal.Signals(-code).name
            memory = " (where the system's memory ran out, it does that)" if name == "SIGKILL" else ""
            return f"was killed by {name}{memory}"
        return f"was killed by signal {-code}"


class Helpers:
    """See `dfrd_bench.attacks.crew.Crew`. They start with the first batch, and end with the `with` block or this process.

    Args:
        count: how many.
        model: in eval mode, in float32; each gets a copy.
        images: the test images.
        threat: ball and step.
        device: of the model. On `cuda` they are spread over all GPUs that are visible, on `cuda:N` they share that one.
        seed: of every attack.
    """

    def __init__(
        self,
        count: int,
        model: nn.Module,
        images: LabelledImages,
        *,
        threat: ThreatModel,
        device: torch.device,
        seed: int,
    ) -> None:
        self.count, self.device, self.attack = count, device, ""
        self.given = {"model": model, "images": images, "threat": threat, "seed": seed}
        self.helpers: list[_Helper] = []
        self.idle: list[_Helper] = []
        self.answers: queue.SimpleQueue[tuple[_Helper, Any]] = queue.SimpleQueue()
        self.failure: BaseException | None = None

    def __enter__(self) -> Helpers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for helper in self.helpers:
            helper.process.kill()  # it has written nothing, and what it found is here
        for helper in self.helpers:
            helper.process.wait()
            for pipe in (helper.process.stdin, helper.errors):
                with suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]

    @property
    def sharing(self) -> int:
        """How many of them share a device's memory."""
        return math.ceil(self.count / len(self._devices()))

    @property
    def has_room(self) -> bool:
        """Whether one of them has nothing to do, and all are well."""
        return self.failure is None and (bool(self.idle) or not self.helpers)

    def on(self, attack: str) -> Helpers:
        """These, for an attack of this name, after the one before has ended."""
        self.attack = attack
        return self

    def begin(self, number: int, stage: str, where: Tensor) -> None:
        """Give one of them a batch.

        Raises:
            DfrdBenchError: the network cannot be given to another process.
        """
        if not self.helpers:
            self._start()
        helper = self.idle.pop()
        helper.number = number
        helper.say(Batch(self.attack, number, stage, where))

    def result(self, tell: Tell) -> tuple[int, Found | None]:
        """Wait until any batch is done. When one of them fails, the batches that the others are at still come back first.

        Raises:
            FailedError: one of them was killed, or ended itself.
            Exception: whatever the attack raised in one of them.
        """
        while self.failure is None or any(helper.number is not None for helper in self.helpers):
            try:
                helper, said = self.answers.get(timeout=LOOK)
            except queue.Empty:
                continue
            match said:
                case Asked(number, count):
                    tell(number, count)
                case Done(number, found):
                    helper.number = None
                    self.idle.append(helper)
                    said.warn()
                    return number, found
                case Raised() if self.failure is None:
                    error = said.error
                    error.__cause__ = HelperError(said.traceback)
                    self._lost(helper, error)
                case None if self.failure is None:
                    self._lost(helper, FailedError(f"A process that attacked a batch {helper.why_it_ended()}. {KEPT}"))
                case _:
                    helper.number = None
        assert self.failure is not None
        raise self.failure

    def _lost(self, helper: _Helper, failure: BaseException) -> None:
        helper.number, self.failure = None, failure
        if busy := sum(one.number is not None for one in self.helpers):
            log.warning("One of %d processes failed; the batches of %d others are waited for.", len(self.helpers), busy)

    def _devices(self) -> list[str]:
        if self.device.type != "cuda" or self.device.index is not None:
            return [str(self.device)]
        return [f"cuda:{number}" for number in range(torch.cuda.device_count())]

    def _start(self) -> None:
        devices, data = self._devices(), _packed(self.given)
        threads = dict.fromkeys(COUNTS, str(THREADS)) if self.device.type == "cpu" else {}
        for _ in range(self.count):
            errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed at the end
            process = subprocess.Popen(
                [sys.executable, "-m", HELPER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **threads},
            )
            helper = _Helper(process, errors)
            self.helpers.append(helper)
            threading.Thread(target=self._listen, args=(helper,), name="helper", daemon=True).start()
        for number, helper in enumerate(self.helpers):
            helper.say(([*sys.path], devices[number % len(devices)]))
            helper.say(data)
        self.idle = self.helpers[::-1]

    def _listen(self, helper: _Helper) -> None:
        """Pass on what one of them says, and None when it has ended."""
        assert helper.process.stdout is not None
        with helper.process.stdout, suppress(EOFError, OSError):
            while True:
                self.answers.put((helper, receive(helper.process.stdout)))
        self.answers.put((helper, None))


def _packed(given: dict[str, Any]) -> bytes:
    """What a helper needs.

    Raises:
        DfrdBenchError: the network cannot be given to another process.
    """
    buffer = io.BytesIO()
    try:
        torch.save(given, buffer)
    except Exception as error:  # of many types, by what cannot be pickled
        reason = " ".join(str(error).split())[:200]
        raise DfrdBenchError(
            f"This network cannot be given to other processes, so --jobs must be 1: {reason}."
        ) from error
    return buffer.getvalue()


def jobs_that_pay(attacks: Collection[str], model: nn.Module, num_classes: int, device: torch.device) -> int:
    """How many processes to take where nobody says: as many as this one has threads and the machine memory for.

    On a CPU processes of one thread attack more images in a second than one process of as many threads: 900 digits, with two,
    1.6 times as many (docs/scaling.md, One evaluation by several processes). But each has to start first, so where attacks are
    short it is 1, as on a GPU, and with a network that cannot be given to other processes.
    """
    asked = sum(_asked(attack, num_classes) for attack in ATTACKS.select(attacks).values()) if attacks else 0.0
    if device.type != "cpu" or asked < LONG:
        return 1
    try:
        _packed({"model": model})
    except DfrdBenchError:
        return 1
    return max(1, int(min(torch.get_num_threads(), _memory() / EACH)))


def _asked(attack: object, num_classes: int) -> float:
    """How often an attack asks the network about an image; 0 of one that does not say."""
    with suppress(Exception):  # nor of a plugin's that fails to
        effort = attack.effort(num_classes)  # type: ignore[attr-defined]
        return float(effort.queries + effort.gradients)
    return 0.0


def _memory() -> float:
    """This machine's, in bytes; infinite where it is not told."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return math.inf


def helpers_wanted(jobs: int, images: int) -> int:
    """How many processes are of use: as many as are asked for, or as there are batches; none where that is one."""
    wanted = min(jobs, math.ceil(images / BATCH_SIZE))
    return wanted if wanted > 1 else 0


@contextmanager
def as_many_threads(device: torch.device) -> Iterator[None]:
    """While it lasts, this process has as many threads as each of those that help it, and so rounds as they do."""
    before = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(THREADS)
    try:
        yield
    finally:
        torch.set_num_threads(before)
