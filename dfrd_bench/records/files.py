"""Writing files so that nothing is ever half there, and naming them so that every file system takes the name."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.reading import read_text
from dfrd_bench.settings import from_yaml

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

LARGEST_TEXT = 128 * 1024  # bytes of a suite or a request; YAML takes seconds for as many


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write a file so that a reader sees the old content or the new, never a part; a pipe or a device is written into.

    Raises:
        DfrdBenchError: the folder cannot be written.
    """
    part = path.with_name(path.name + ".tmp")
    if path.exists() and not path.is_file() and not path.is_dir():
        _write_into(path, data)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise unwritable(path, error) from error


def _write_into(path: Path, data: bytes | memoryview) -> None:
    """Write to a pipe or a device, such as /dev/stdout, which a file must not take the place of."""
    try:
        with path.open("wb") as file:
            file.write(data)
    except OSError as error:
        raise unwritable(path, error) from error


def read_mapping(path: Path | Traversable) -> dict[str, Any]:
    """What a YAML file says, by name; a JSON file is one.

    Raises:
        DfrdBenchError: the file cannot be read, or is not YAML, or says something else.
    """
    content = from_yaml(read_text(path, LARGEST_TEXT), str(path))
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise DfrdBenchError(f"{path} does not say names and values, as in `seed: 1`.")
    return content


def unwritable(path: Path, error: OSError) -> DfrdBenchError:
    """An error for a file that the system refuses to write."""
    return DfrdBenchError(f"Cannot write {path}: {error.strerror or error}.")


def check_writable(path: Path) -> None:
    """Fail now rather than after long work.

    Raises:
        DfrdBenchError: a file of this name could not be written.
    """
    probe = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise unwritable(path, error) from error


@contextmanager
def alone_in(folder: Path, patience: float = 0) -> Iterator[None]:
    """While it lasts, no other process that asks the same may work in a folder; the system ends it with the process.

    Where there are no such locks (on Windows, on some network file systems), nobody is kept out.

    Args:
        folder: made if it is not there, and removed again if nothing is written.
        patience: seconds to wait for another process.

    Raises:
        DfrdBenchError: another process works there, or the folder cannot be written.
    """
    path, made = folder / "lock", [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise unwritable(path, error) from error
    with file:
        until = time.monotonic() + patience
        while not _locked(file):
            if time.monotonic() >= until:
                raise DfrdBenchError(f"Another process is at work in {folder}: wait for it, or stop it.")
            time.sleep(0.1)
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)
                for place in made:
                    place.rmdir()  # if the work was refused and nothing was written


def _locked(file: IO[bytes]) -> bool:
    """Take the system's lock on a file; False where another process has it."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):  # no locks here
        pass
    return True


def home() -> Path:
    """The user's home folder.

    Raises:
        DfrdBenchError: there is none, as in some containers.
    """
    try:
        return Path.home()
    except RuntimeError as error:
        raise DfrdBenchError("There is no home folder to keep downloads in: set XDG_CACHE_HOME to a folder.") from error


def expanded(path: str) -> Path:
    """A path as a user types it, with `~` for the home folder.

    Raises:
        DfrdBenchError: there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise DfrdBenchError(f"{path}: there is no home folder of that name. Write the whole path.") from error


def file_name(text: str) -> str:
    """A name that every file system takes: letters, digits and `._=+-`; the rest becomes a hyphen."""
    return "".join(c if c.isalnum() or c in "._=+-" else "-" for c in text).strip(".") or "-"
