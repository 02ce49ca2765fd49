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
        open: makes the observer, before anything is trained. A `DfrdBenchError` that it raises (no such place, a package
            that is not installed) is the user's to mend and ends the command; anything else costs the observer only.
    """

    summary: str
    open: Open
