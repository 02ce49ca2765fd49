"""Every moment at which a process changes what is on disk below a folder: counted, and something done at one of them.

A moment is an open for writing, a rename, a removal, a folder that is made or removed (Python's audit events), or a flush. The
thread that beats the heart of a lock is left out: when it beats is chance.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {
    "os.rename": 2,
    "os.remove": 1,
    "os.mkdir": 1,
    "os.rmdir": 1,
    "shutil.rmtree": 1,
}  # and how many paths they name

Act = Callable[[int, str, str], None]
"""Given the number of a moment (from 0), what happens ("open", "os.rename", "fsync", …) and to which file."""

_watching: list[Callable[[str, tuple[Any, ...]], None]] = []  # Python's audit hooks cannot be taken off again
_hooked = threading.Event()


class KilledError(BaseException):
    """What stands for a SIGKILL within a process: nothing catches it, and nothing may be written after it."""


@contextmanager
def at_every_write(root: Path, act: Act) -> Iterator[None]:
    """While it lasts, `act` is called before anything below a folder is changed by the thread that asks for it.

    Args:
        root: the folder.
        act: may raise, and the change is not made.
    """
    begin, number, thread = str(root), 0, threading.get_ident()

    def told(what: str, path: str) -> None:
        nonlocal number
        number += 1
        act(number - 1, what, path)

    def heard(event: str, args: tuple[Any, ...]) -> None:
        if threading.get_ident() != thread:
            return
        if event == "open" and isinstance(args[2], int) and args[2] & WRITING:
            paths = args[:1]
        elif event in CHANGES:
            paths = args[: CHANGES[event]]
        else:
            return
        inside = [os.fsdecode(path) for path in paths if isinstance(path, (str, bytes, os.PathLike))]
        if found := [path for path in inside if path.startswith(begin)]:
            told(event, found[-1])
        elif (
            event in CHANGES and isinstance(args[-1], int) and args[-1] >= 0
        ):  # relative to an open folder, as rmtree does
            told(event, inside[0])

    def flushed(number: int) -> None:
        if threading.get_ident() == thread:
            told("fsync", _path_of(number))
        flush(number)

    if not _hooked.is_set():
        _hooked.set()
        sys.addaudithook(lambda event, args: [watcher(event, args) for watcher in _watching] and None)
    flush, os.fsync = os.fsync, flushed  # type: ignore[assignment]
    _watching.append(heard)
    try:
        yield
    finally:
        _watching.remove(heard)
        os.fsync = flush


def _path_of(number: int) -> str:
    """The file behind a descriptor, where the system says so."""
    try:
        return os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115  (of a descriptor, not of a path)
    except OSError:
        return f"descriptor {number}"


def dying_at(moment: int) -> Act:
    """As if the process were killed at a moment: nothing is changed from it on."""

    def act(number: int, what: str, path: str) -> None:
        if number >= moment:
            raise KilledError(f"{what} {path}")

    return act


def full_from(moment: int) -> Act:
    """As if the disk were full from a moment on: nothing new is opened, made or flushed; renaming and removing still work."""

    def act(number: int, what: str, path: str) -> None:
        if number >= moment and what in ("open", "os.mkdir", "fsync"):
            raise OSError(28, "No space left on device", path)

    return act
