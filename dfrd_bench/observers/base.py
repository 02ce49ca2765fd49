"""What an observer entry point is: a name, one line about it, and an observer for as long as a run lasts."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from dfrd_bench.observer import Observer

Open = Callable[[str], AbstractContextManager[Observer]]
"""WHERE, as it was given after the name ("" where nothing was), to an observer that is closed with the command."""


@dataclass(frozen=True)
class Logger:
    """Where what is told of a run can go.

    Attributes:
        summary: one line for `dfrd-bench list observers`.
        open: makes the observer, before anything is trained. What it raises (no such place, no such server, a package that is
            not installed) ends the command there; the words of a `DfrdBenchError` are shown as they are.
    """

    summary: str
    open: Open
