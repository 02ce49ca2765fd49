"""Observers that a user asks for, beside the one that a run has: they can neither end the run nor change a number of it."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import fields
from typing import Any

from dfrd_bench.errors import DfrdBenchError, asked_to_stop, in_a_line
from dfrd_bench.observer import SILENT, Observer
from dfrd_bench.observers.base import Logger
from dfrd_bench.observers.untouched import untouched
from dfrd_bench.registry import OBSERVERS

log = logging.getLogger(__name__)
CALLS = [field.name for field in fields(Observer) if field.name != "stops"]


class Guest:
    """Somebody's observer of a run. What it raises is said once, and then it is told nothing more."""

    def __init__(self, name: str, observer: Observer) -> None:
        self.name = name
        self.observer = observer
        self.dropped = False

    def wants(self, call: str) -> bool:
        """Whether it does anything when it is told of this."""
        return getattr(self.observer, call) is not getattr(SILENT, call)

    def tell(self, call: str, *said: Any) -> None:
        """Tell it, with copies, so that what it does to them is its own affair."""
        if self.dropped:
            return
        try:
            with untouched():
                getattr(self.observer, call)(*copy.deepcopy(said))
        except BaseException as error:
            if asked_to_stop(error):
                raise
            self.dropped = True
            say_dropped(self.name, error)


def say_dropped(name: str, error: BaseException) -> None:
    """The one warning about an observer that failed."""
    log.warning("The observer %s is dropped, and the run goes on without it: %s", name, in_a_line(error))


def together(own: Observer, guests: Sequence[Guest]) -> Observer:
    """One observer for several: the run's own, which alone decides whether the run goes on, and then each guest."""

    def telling(call: str) -> Callable[..., None]:
        first: Callable[..., None] = getattr(own, call)
        others = [guest for guest in guests if guest.wants(call)]

        def tell(*said: Any) -> None:
            first(*said)
            for guest in others:
                guest.tell(call, *said)

        return tell if others else first

    return Observer(**{call: telling(call) for call in CALLS}, stops=own.stops)


@contextmanager
def attached(own: Observer, asked: Sequence[str]) -> Iterator[Observer]:
    """An observer, and beside it those that are asked for, closed at the end.

    Args:
        own: of the run.
        asked: `NAME` or `NAME=WHERE` for each, with names of `dfrd-bench list observers`.

    Raises:
        DfrdBenchError: no such name, or one that cannot be opened.
        FailedError: its plugin cannot be imported.
    """
    loggers = [(text, OBSERVERS.get(text.partition("=")[0])) for text in asked]  # all, before any is opened
    with ExitStack() as stack:
        yield together(own, [_opened(text, logger, stack) for text, logger in loggers])


def _opened(text: str, logger: Logger, stack: ExitStack) -> Guest:
    """A guest that is closed with the stack.

    Raises:
        DfrdBenchError: it cannot be opened: whoever asked for it would miss it, and nothing is trained yet.
    """
    name, _, where = text.partition("=")
    try:
        with untouched():
            opening = logger.open(where)
            guest = Guest(name, opening.__enter__())
    except BaseException as error:
        if isinstance(error, DfrdBenchError) or asked_to_stop(error):
            raise
        raise DfrdBenchError(f"The observer {name} cannot be opened: {in_a_line(error)}") from error
    stack.callback(_close, guest, opening)
    return guest


def _close(guest: Guest, opening: AbstractContextManager[Observer]) -> None:
    """Close a guest, however the run ended: it is not asked whether an error of the run's shall pass."""
    try:
        with untouched():
            opening.__exit__(None, None, None)
    except BaseException as error:
        if asked_to_stop(error):
            raise
        if not guest.dropped:
            say_dropped(guest.name, error)
