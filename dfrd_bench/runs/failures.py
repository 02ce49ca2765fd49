"""Whatever the code of a run raises: its traceback goes to a file, and one line goes up."""

from __future__ import annotations

import datetime
import functools
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from dfrd_bench._version import __version__
from dfrd_bench.errors import DfrdBenchError, FailedError, asked_to_stop, in_a_line, out_of_memory

P = ParamSpec("P")
R = TypeVar("R")
ERROR_LOG = "error.log"
LARGEST = 1 << 20  # bytes of a log; a longer one is begun anew


@contextmanager
def logged(folder: Path, what: object) -> Iterator[None]:
    """Whatever is raised inside, by a plugin or by dfrd-bench itself, goes to `error.log` in a folder.

    What a user can mend or wants passes: a `DfrdBenchError`, Ctrl-C and other signals, and memory that ran out. A `SystemExit` or
    a KeyboardInterrupt that the code raised itself is as good as any other error.

    Args:
        folder: made if it is not there.
        what: was being done, for the file, which has its text.

    Raises:
        FailedError: something was raised.
    """
    try:
        yield
    except FailedError as error:
        if error.log is not None:  # by somebody who knew a better folder
            raise
        raise _failed(folder, what, error, str(error)) from error
    except BaseException as error:
        if isinstance(error, DfrdBenchError) or asked_to_stop(error) or _short_of_memory(error):
            raise
        raise _failed(folder, what, error, in_a_line(error)) from error


def logs_failures(place: Callable[..., Path], *, clears: bool = True) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function's failures be `logged`.

    Args:
        place: its arguments to the folder.
        clears: remove the log of an earlier attempt where this one succeeds: the folder is of this work alone.
    """

    def decorated(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def logging(*args: P.args, **kwargs: P.kwargs) -> R:
            folder = place(*args, **kwargs)
            with logged(folder, args[0] if args else function.__name__):
                done = function(*args, **kwargs)
            if clears:
                with suppress(OSError):
                    (folder / ERROR_LOG).unlink(missing_ok=True)
            return done

        return logging

    return decorated


def _short_of_memory(error: BaseException) -> bool:
    return isinstance(error, (RuntimeError, MemoryError)) and out_of_memory(error)


def _failed(folder: Path, what: object, error: BaseException, said: str) -> FailedError:
    path = folder / ERROR_LOG
    try:
        _append(path, what, error)
    except OSError as refused:
        return FailedError(f"{said} (no traceback is kept, as {path} cannot be written: {refused.strerror})")
    return FailedError(f"{said} (traceback: {path})", path)


def _append(path: Path, what: object, error: BaseException) -> None:
    """Add an entry to a log, which may be open in other processes; a pipe in its place is not waited for."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    entry = f"{now}  dfrd-bench {__version__}  {_text(what)}\n{_traceback(error)[-LARGEST:]}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NONBLOCK", 0), 0o666)
    try:
        if os.fstat(number).st_size > LARGEST:
            os.ftruncate(number, 0)
        os.write(number, entry.encode("utf-8", "backslashreplace"))
    finally:
        os.close(number)


def _text(what: object) -> str:
    try:
        return str(what)[:LARGEST]
    except Exception:  # a number of more digits than Python writes
        return type(what).__name__


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # an error may be made so that it cannot be shown
        return f"{in_a_line(error)} (its traceback cannot be shown)\n"
