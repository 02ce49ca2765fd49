"""Signals: Ctrl-C ends the work at once; SIGTERM, SIGHUP and SIGUSR1 (Slurm's warning) at the next safe point."""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from dfrd_bench.errors import Interrupted, Stopped
from dfrd_bench.observer import Stops

NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")  # those that the system has: Windows has the first two
CODE = 128  # of an exit by a signal, beside its number
TIMES = 3  # Ctrl-C that is pressed so often ends what will not end


class Signals(Stops):
    """The handler: the first signal that came, and whether work has to reach a safe point before it ends.

    Ctrl-C raises `Interrupted` where the work is. Pressed again it does nothing, for the work is ending; pressed a third time it
    ends the process there and then. Any other signal raises `Stopped`, at the next safe point where there will be one. A
    later one of these changes nothing.
    """

    raises_interrupted = True  # see `errors.asked_to_stop`

    def __init__(self) -> None:
        self.number = None
        self.pressed = 0
        self.waiting = 0  # for safe points, one inside another

    @property
    def wanted(self) -> bool:
        """Whether a signal came."""
        return self.number is not None

    def safe_point(self) -> None:
        """Nothing is lost if the work ends here."""
        if self.number is not None:
            raise _stop(self.number)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """While it lasts, only Ctrl-C ends the work between two safe points."""
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    def __call__(self, number: int, frame: FrameType | None = None) -> None:
        """Receive a signal."""
        if number == signal.SIGINT:
            self.pressed += 1
            if self.pressed == 1:
                self.number = number
                raise Interrupted(number)
            if self.pressed >= TIMES:
                os.write(2, b"\x1b[?25h" * os.isatty(2))  # a bar may have hidden the cursor
                os._exit(CODE + number)
        elif self.number is None:
            self.number = number
            if not self.waiting:
                raise Stopped(number)


@contextmanager
def listening() -> Iterator[Signals]:
    """While it lasts, signals are received, but for those that whoever started the process chose to ignore (`nohup`)."""
    signals, before = Signals(), {}
    if threading.current_thread() is threading.main_thread():
        for number in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, signals)
    try:
        yield signals
    finally:
        if signals.pressed:  # pressing it while Python shuts down would show a traceback
            atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int) -> Stopped:
    return (Interrupted if number == signal.SIGINT else Stopped)(number)


def stopped_by(number: int, left: str) -> str:
    """What to say at the end: which signal it was, and what the command has left."""
    what = "Stopped" if number == signal.SIGINT else f"Stopped by {signal.Signals(number).name}"
    return f"{what}. {left}"
