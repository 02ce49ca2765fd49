"""What long work reports while it goes on, and whether somebody wants it to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

OnStep = Callable[[str, int, int], None]
"""Told how far work is: its stage, steps done, steps in all."""


class Stops:
    """Whether somebody wants the work to end; here, nobody. The command line's tells of signals (`cli.signals`).

    Attributes:
        number: of the signal that said so; None as long as none did.
    """

    number: int | None = None

    @property
    def wanted(self) -> bool:
        """Whether the next safe point will be the end."""
        return False

    def safe_point(self) -> None:
        """Called where nothing is lost if the work ends: all that was found is on the disk.

        Raises:
            Stopped: it is to end.
        """

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """While it lasts, the work is not ended between two safe points, unless by Ctrl-C."""
        yield


@dataclass
class Observer:
    """Callbacks of a run; the default says nothing. The CLI shows them as progress bars; `observers` takes them elsewhere.

    Attributes:
        on_start: the run's folder, epochs in all, epochs already done.
        on_epoch: epoch (from 0), the method's numbers.
        on_step: stage within the epoch, steps done, steps in all.
        on_attack: attack, images done, images in all, accuracy so far (NaN before there is one).
        on_data: what is read or downloaded, images or bytes done, images or bytes in all.
        stops: asked whether to go on.
        on_record: the run's folder, once the run is finished and its record is in it.
    """

    on_start: Callable[[Path, int, int], None] = lambda folder, epochs, done: None
    on_epoch: Callable[[int, dict[str, float]], None] = lambda epoch, numbers: None
    on_step: OnStep = lambda stage, done, total: None
    on_attack: Callable[[str, int, int, float], None] = lambda attack, done, total, accuracy: None
    on_data: OnStep = lambda stage, done, total: None
    stops: Stops = field(default_factory=Stops)
    on_record: Callable[[Path], None] = lambda folder: None


SILENT = Observer()
