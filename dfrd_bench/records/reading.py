"""Reading what somebody else may have made: regular files only, of a size known before any data is read, and nothing is run."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from dfrd_bench.errors import DfrdBenchError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from pydantic import ValidationError

MIB = 1 << 20
LONGEST = 160  # characters of a file's own words that a message repeats
CHUNK = 1 << 20


def read_file(path: Path | Traversable, largest: int) -> bytes:
    """What is in a regular file.

    Args:
        path: of the file, or of a resource of the package.
        largest: bytes it may have.

    Raises:
        DfrdBenchError: it cannot be read, is no regular file (but a pipe or a device, say), or is larger.
    """
    if not isinstance(path, Path):
        return path.read_bytes()
    try:
        with opened(path, largest) as file:
            return file.read()
    except OSError as error:
        raise unreadable(path, error) from error


@contextmanager
def opened(path: Path, largest: int | None = None) -> Iterator[IO[bytes]]:
    """A regular file, open for reading.

    Args:
        path: of the file; a link to one is as good.
        largest: bytes it may have; any number when None, for what is read piece by piece.

    Raises:
        OSError: it is not there, or the system refuses.
        DfrdBenchError: it is no regular file, or is larger.
    """
    try:
        _check(path, path.stat())  # before it is opened: with some devices, that alone does something
        number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except ValueError as error:  # a name with a NUL in it
        raise DfrdBenchError(f"{path} is no name of a file.") from error
    with os.fdopen(number, "rb") as file:
        found = os.fstat(file.fileno())
        _check(path, found)  # it may have become another in between
        if largest is not None and found.st_size > largest:
            raise DfrdBenchError(f"{path} has {found.st_size:,} bytes: at most {largest:,} are read.")
        yield file


def chunks(path: Path) -> Iterator[bytes]:
    """The content of a regular file, piece by piece.

    Raises:
        DfrdBenchError: it cannot be read, or is no regular file.
    """
    try:
        with opened(path) as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except OSError as error:
        raise unreadable(path, error) from error


def read_text(path: Path | Traversable, largest: int) -> str:
    """The text of a regular UTF-8 file.

    Raises:
        DfrdBenchError: see `read_file`, or it is not UTF-8.
    """
    try:
        return read_file(path, largest).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DfrdBenchError(f"{path} is not UTF-8 text: byte {error.start} is not.") from error


def unreadable(path: Path | Traversable, error: OSError) -> DfrdBenchError:
    """An error for a file that the system refuses to read."""
    return DfrdBenchError(f"Cannot read {path}: {error.strerror or error}.")


def not_valid(path: Path, what: str, error: ValidationError) -> DfrdBenchError:
    """An error for a file whose content is not what it should be (a record, say): the first thing that is wrong, and where."""
    first = error.errors(include_url=False, include_context=False)[0]
    where = brief(".".join(str(part) for part in first["loc"]) or "the file")
    return DfrdBenchError(f"{path} is not a valid {what}: {where}: {brief(first['msg'])}.")


def brief(text: object) -> str:
    """What a file or a library says, on one line of bounded length, for a message."""
    line = " ".join(str(text).split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def _check(path: Path, found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(21, "Is a directory")
    if not stat.S_ISREG(found.st_mode):
        kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
        what = kinds.get(stat.S_IFMT(found.st_mode), "something else")
        raise DfrdBenchError(f"{path} is {what}: only regular files are read.")
