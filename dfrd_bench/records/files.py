"""Writing files so that nothing is ever half there, and naming them so that every file system takes the name."""

from __future__ import annotations

import io
import math
import os
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.settings import from_yaml

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    import numpy as np
    from numpy.typing import NDArray

ARRAY_SUFFIX = ".npy"  # of the files within an npz file


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    Raises:
        DfrdBenchError: the folder cannot be written.
    """
    part = path.with_name(path.name + ".tmp")
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


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays as a compressed npz file, atomically.

    Raises:
        DfrdBenchError: the folder cannot be written.
    """
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_atomically(path, buffer.getvalue())


def read_arrays(
    path: Path, *required: str, wanted: Callable[[str], bool] = lambda name: True
) -> dict[str, NDArray[Any]]:
    """The required arrays of an npz file, and the others that are wanted; nothing in it is executed.

    Raises:
        DfrdBenchError: the file is missing, damaged, or lacks a required array.
    """
    try:
        with zipfile.ZipFile(path) as file:
            found = [name.removesuffix(ARRAY_SUFFIX) for name in file.namelist()]
            names = dict.fromkeys((*required, *filter(wanted, found)))
            return {name: _array(file.read(name + ARRAY_SUFFIX)) for name in names}
    except FileNotFoundError as error:
        raise DfrdBenchError(f"There is no {path.name} in {path.parent}.") from error
    except KeyError as error:
        raise DfrdBenchError(f"{path} holds no {error}.") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DfrdBenchError(f"{path} is truncated, corrupt, or no such file of arrays.") from error


def _array(content: bytes) -> NDArray[Any]:
    """The array in the bytes of an npy file of version 1.0, as `np.savez` writes it.

    Raises:
        ValueError: they are something else.
    """
    import numpy as np

    start = 10 + int.from_bytes(content[8:10], "little")
    shape, by_columns, kind = _layout(content[:start])
    numbers = np.frombuffer(content, kind, math.prod(shape), start)
    return numbers.reshape(shape, order="F" if by_columns else "C").copy()


@lru_cache
def _layout(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether by columns, and type. Files of one kind have equal headers, and NumPy is slow to read one."""
    import numpy as np

    file = io.BytesIO(header)
    np.lib.format.read_magic(file)
    layout: tuple[tuple[int, ...], bool, np.dtype[Any]] = np.lib.format.read_array_header_1_0(file)
    return layout


def read_mapping(path: Path | Traversable) -> dict[str, Any]:
    """What a YAML file says, by name; a JSON file is one.

    Raises:
        DfrdBenchError: the file cannot be read, or is not YAML, or says something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DfrdBenchError(f"Cannot read {path}: {getattr(error, 'strerror', None) or error}.") from error
    content = from_yaml(text, str(path))
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


def file_name(text: str) -> str:
    """A name that every file system takes: letters, digits and `._=+-`; the rest becomes a hyphen."""
    return "".join(c if c.isalnum() or c in "._=+-" else "-" for c in text).strip(".") or "-"
