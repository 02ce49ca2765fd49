"""Why a worker ended, on one line: from its exit code and what it wrote last."""

from __future__ import annotations

import signal
from pathlib import Path

from dfrd_bench.records.reading import MIB

SIGNAL_CODE = 128  # of an exit by a signal that was handled, beside its number
ERROR = "Error: "
KILLED = " (where the system's memory ran out, it does that)"


def said_at_the_end(log: Path, begin: int) -> str:
    """The last line of a log from a place on that names an error, or else the last that says anything; empty without any.

    Args:
        log: of a worker.
        begin: of its part of it, in bytes.
    """
    try:
        with log.open("rb") as file:
            file.seek(begin)
            written = file.read(MIB).decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.strip() for line in written.splitlines() if line.strip()]
    errors = [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]
    return (errors or lines or [""])[-1]


def why_it_ended(code: int, said: str) -> str:
    """Why, of a worker whose exit code was not 0.

    Args:
        code: as of `subprocess`: negative after a signal that was not handled.
        said: see `said_at_the_end`.
    """
    number = -code if code < 0 else code - SIGNAL_CODE
    try:
        name = signal.Signals(number).name
    except ValueError:
        return said or f"It ended with exit code {code}, and said nothing."
    if code < 0:
        return f"It was killed by {name}{KILLED if name == 'SIGKILL' else ''}."
    return f"It was stopped by {name} from outside. The same command goes on from the last checkpoint."
