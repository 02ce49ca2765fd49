"""What an evaluation and the processes that help it say to each other, through pipes: pickled objects, each after its length."""

from __future__ import annotations

import pickle
import struct
import warnings
from dataclasses import dataclass
from typing import IO, Any

from torch import Tensor

from dfrd_bench.attacks.crew import Found

LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class Batch:
    """Attack these images.

    Attributes:
        attack: its name.
        number: of the batch.
        stage, where: see `dfrd_bench.attacks.crew.Attacking`.
    """

    attack: str
    number: int
    stage: str
    where: Tensor


@dataclass(frozen=True)
class Asked:
    """The attack on a batch has asked the network so often."""

    number: int
    count: int


@dataclass(frozen=True)
class Done:
    """What came of a batch (None where memory ran out), and what it warned of: words, category, file and line."""

    number: int
    found: Found | None
    warned: tuple[tuple[str, type[Warning], str, int], ...] = ()

    def warn(self) -> None:
        """Warn here of what was warned of there."""
        for text, category, file, line in self.warned:
            warnings.warn_explicit(text, category, file, line)


@dataclass(frozen=True)
class Raised:
    """The attack on a batch, or what comes before, raised an error; `traceback` is its text."""

    error: BaseException
    traceback: str


def send(pipe: IO[bytes], message: Any) -> None:
    """Write an object.

    Raises:
        OSError: nobody is at the other end.
    """
    data = pickle.dumps(message)
    pipe.write(LENGTH.pack(len(data)) + data)
    pipe.flush()


def receive(pipe: IO[bytes]) -> Any:
    """Read an object, of a process that belongs to this evaluation.

    Raises:
        EOFError: the other end is closed.
    """
    (length,) = LENGTH.unpack(_exactly(pipe, LENGTH.size))
    return pickle.loads(_exactly(pipe, length))


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) < size:
        raise EOFError
    return data
