"""Who attacks the batches of an evaluation: this process, one after another, or several processes at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

TICK = 0.5  # seconds between two reports of progress

Tell = Callable[[int, int], None]
"""Told of a batch, by its number, how often its attack has asked the network so far."""


@dataclass(frozen=True)
class Found:
    """What attacking a batch of n images came to.

    Attributes:
        classes: [n] int64 on the CPU, the network's verdict.
        unpredicted: images for which it gave a NaN or an infinity.
        margins: [n] float32 on the CPU, of the attacked images; None of an attack that is no sequence.
        notes: what the attack warned of, for the record.
        x_adv: the attacked images that are broken, on the device; None where another process has them.
    """

    classes: Tensor
    unpredicted: int = 0
    margins: Tensor | None = None
    notes: tuple[str, ...] = ()
    x_adv: Tensor | None = None


Attacking = Callable[[str, Tensor], "Found | None"]
"""A stage's name and the positions [n] of a batch -> what came of it; None where memory ran out and it can be divided."""


class Crew(Protocol):
    """Attacks batches. A batch's verdict depends on its images and the seed only, so any crew finds the same.

    Attributes:
        sharing: how many batches share one device's memory at a time.
        has_room: whether another batch can begin now.
    """

    @property
    def sharing(self) -> int: ...

    @property
    def has_room(self) -> bool: ...

    def begin(self, number: int, stage: str, where: Tensor) -> None:
        """Give it a batch: a number that no batch under way has, the stage, and the positions of the images."""
        ...

    def result(self, tell: Tell) -> tuple[int, Found | None]:
        """Wait until any batch is done: its number, and what came of it."""
        ...


class Calls:
    """Counts how often a network was asked about a batch, and says so about twice a second."""

    def __init__(self) -> None:
        self.count, self.said = 0, 0.0
        self.tell: Callable[[int], None] = lambda count: None

    def begin(self, tell: Callable[[int], None]) -> None:
        """Count anew, for another batch."""
        self.count, self.tell = 0, tell

    def __call__(self) -> None:
        """The network was asked once."""
        self.count += 1
        if time.monotonic() - self.said > TICK:
            self.said = time.monotonic()
            self.tell(self.count)


class Here:
    """A crew that is this process: one batch at a time, when its result is asked for.

    Args:
        attacking: does the work.
        calls: counts, if the network that the attack asks does.
    """

    sharing = 1

    def __init__(self, attacking: Attacking, calls: Calls | None = None) -> None:
        self.attacking, self.calls = attacking, calls or Calls()
        self.waiting: tuple[int, str, Tensor] | None = None

    @property
    def has_room(self) -> bool:
        """Whether no batch waits."""
        return self.waiting is None

    def begin(self, number: int, stage: str, where: Tensor) -> None:
        """Take a batch."""
        self.waiting = (number, stage, where)

    def result(self, tell: Tell) -> tuple[int, Found | None]:
        """Attack it now."""
        assert self.waiting is not None
        (number, stage, where), self.waiting = self.waiting, None
        self.calls.begin(lambda count: tell(number, count))
        return number, self.attacking(stage, where)
