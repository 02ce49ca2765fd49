"""Warnings that come by the thousand: the first of each source are shown, the others counted."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click

SHOWN = 20  # of each source: a module that warns, or a logger


class _Last(logging.Handler):
    """What Python does with log records that nobody handles, for the first of each logger."""

    def __init__(self, usual: logging.Handler | None, count: Counter[str]) -> None:
        super().__init__(logging.WARNING)
        self.usual, self.count = usual, count

    def emit(self, record: logging.LogRecord) -> None:
        self.count[record.name] += 1
        if self.count[record.name] <= SHOWN and self.usual is not None:
            self.usual.handle(record)


@contextmanager
def calmed() -> Iterator[Counter[str]]:
    """While it lasts, each module and each logger gets `SHOWN` warnings on the screen; how many came is in the counter."""
    count: Counter[str] = Counter()
    usual, last = warnings.showwarning, logging.lastResort

    def show(message: Any, category: type[Warning], filename: str, *more: Any) -> None:
        count[filename] += 1
        if count[filename] <= SHOWN:
            usual(message, category, filename, *more)

    warnings.showwarning = show  # type: ignore[assignment]  # as it is called
    logging.lastResort = _Last(last, count)
    try:
        yield count
    finally:
        if warnings.showwarning is show:
            warnings.showwarning = usual
        logging.lastResort = last
        if more := sum(max(0, came - SHOWN) for came in count.values()):
            with suppress(BrokenPipeError):
                click.echo(f"{more:,} more warnings of the same kind were not shown.", err=True)
