"""Writing files so that nothing is ever half there, and naming them so that every file system takes the name."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.reading import read_text
from dfrd_bench.settings import from_yaml

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

LARGEST_TEXT = 128 * 1024  # bytes of a suite or a request; YAML takes seconds for as many
PART = ".tmp"  # how the name of a file ends that is to take another's place
TEMPORARY = re.compile(r"\.([0-9a-f]{8}\.)?tmp$")  # such a name; until version 0.3.0 without a number


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write a file so that a reader sees the old content or the new, never a part; a pipe or a device is written into.

    Folders that are not there are made.

    Raises:
        DfrdBenchError: the folder cannot be written.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        _write_into(path, data)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    replace_whole(path, data)


def replace_whole(path: Path, data: bytes | memoryview, keep: Path | None = None) -> None:
    """As `write_atomically`, in a folder that is there: one that vanished while somebody worked in it is not made again.

    Data and folder are flushed: after a power cut too, the file is the old one or the new.

    Args:
        path: of the file.
        data: its new content.
        keep: where the old content goes once the new one is flushed, in the same folder; nowhere when None.

    Raises:
        DfrdBenchError: the folder is gone or cannot be written.
    """
    part = temporary(path)
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            path.replace(keep)
        part.replace(path)
        flush_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise unwritable(path, error) from error


@contextmanager
def whole_folder(place: Path) -> Iterator[Path]:
    """A new folder to fill, which takes its place once that went well: it is there whole or not at all.

    An empty folder that is there is replaced.

    Raises:
        DfrdBenchError: nothing can be written there, or meanwhile something was.
    """
    part = temporary(place)
    try:
        part.mkdir(parents=True)
        yield part
        with suppress(OSError):
            place.rmdir()
        part.rename(place)
        flush_folder(place.parent)
    except OSError as error:
        raise unwritable(place, error) from error
    finally:
        with suppress(OSError):
            shutil.rmtree(part)


def temporary(path: Path) -> Path:
    """A name beside a file for what is to take its place, unlike that of any other process or thread."""
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}{PART}")


def flush_folder(folder: Path) -> None:
    """Have the names in a folder outlast a power cut, where the system can do that."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def drop_temporaries(folder: Path, name: str = "") -> None:
    """Remove what killed processes had half written into a folder, of all files or of one; for who is alone in it."""
    with suppress(OSError):
        for path in folder.iterdir():
            if TEMPORARY.search(path.name) and path.name.startswith(name):
                path.unlink(missing_ok=True)


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
    probe = temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise unwritable(path, error) from error


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
