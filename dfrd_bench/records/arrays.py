"""Files of arrays: every array's claim is held against what is expected before its data is read, and nothing is run."""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.files import write_atomically
from dfrd_bench.records.reading import MIB, brief, opened, unreadable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Expectation = Callable[[str, tuple[int, ...], np.dtype[Any]], str]

LARGEST = 256 * MIB  # that all arrays of a file may have in memory, where nothing else is known
NUMPYS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # ways to compress; others may ask for gigabytes
HEADER = 10_000  # bytes of an array's header, NumPy's own limit; only `np.savez`'s version 1.0 is read


def anything(_name: str, _shape: tuple[int, ...], _dtype: np.dtype[Any]) -> str:
    """Expects nothing of an array but a bounded size."""
    return ""


def read_arrays(
    path: Path,
    *required: str,
    wanted: Callable[[str], bool] = lambda name: True,
    expected: Expectation = anything,
) -> dict[str, NDArray[Any]]:
    """The required arrays of an npz file, and the others that are wanted; nothing in it is executed.

    Args:
        path: of the file.
        required: names of arrays that must be there.
        wanted: whether another is read too, by its name.
        expected: what is wrong with an array's shape and type, as the end of a sentence ("not of 900 images"), "" if nothing;
            asked before any of its data is read.

    Raises:
        DfrdBenchError: the file is missing or damaged, lacks a required array, or holds one that is not as expected.
    """
    try:
        with opened(path, LARGEST) as file, quiet(), zipfile.ZipFile(file) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            for name in required:
                if name not in members:
                    raise DfrdBenchError(f"{path} holds no {name!r}.")
            names = dict.fromkeys((*required, *filter(wanted, members)))
            left, arrays = LARGEST, {}
            for name in names:
                if members[name].compress_type not in NUMPYS:
                    raise ValueError(name)
                with archive.open(members[name]) as member:
                    arrays[name] = _array(path, name, member, left, expected)
                left -= arrays[name].nbytes
            return arrays
    except DfrdBenchError:
        raise
    except FileNotFoundError as error:
        raise DfrdBenchError(f"There is no {path.name} in {path.parent}.") from error
    except OSError as error:
        raise unreadable(path, error) from error
    except Exception as error:  # a damaged archive raises nearly anything
        raise DfrdBenchError(f"{path} is truncated, corrupt, or no such file of arrays.") from error


def _array(path: Path, name: str, member: IO[bytes], left: int, expected: Expectation) -> NDArray[Any]:
    """One array from its member of the archive, if it is one, small enough, and as expected."""
    import numpy as np

    start = member.read(10)
    length = int.from_bytes(start[8:10], "little")
    if start[6:8] != b"\x01\x00" or length > HEADER:
        raise ValueError(name)
    shape, column_major, dtype = _layout(start + member.read(length))
    if dtype.hasobject:
        raise ValueError(name)
    size = math.prod(shape) * dtype.itemsize
    claim = f"{path}: {brief(name)} is {brief(dtype)} {brief(shape)}"
    if any(side < 0 for side in shape) or size > left:
        raise DfrdBenchError(f"{claim}, too large to be read.")
    if wrong := expected(name, shape, dtype):
        raise DfrdBenchError(f"{claim}, {wrong}.")
    data = member.read(size)
    if len(data) != size or member.read(1):  # to its very end, where the checksum is held against it
        raise ValueError(name)
    return np.ndarray(shape, dtype, bytearray(data), order="F" if column_major else "C")


@lru_cache
def _layout(header: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether by columns, and type. Files of one kind have equal headers, and NumPy is slow to read one."""
    import numpy as np

    file = io.BytesIO(header)
    np.lib.format.read_magic(file)
    layout: tuple[tuple[int, ...], bool, np.dtype[Any]] = np.lib.format.read_array_header_1_0(file)
    return layout


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of libraries, which would come before the one line that says what is wrong."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays as a compressed npz file, atomically.

    Raises:
        DfrdBenchError: the folder cannot be written.
    """
    write_atomically(path, packed(arrays))


def packed(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Named arrays as the bytes of a compressed npz file."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
