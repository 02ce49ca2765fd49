"""Arrays are read as NumPy itself reads them, and nothing in a file is executed."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.arrays import read_arrays, write_arrays

KINDS = {
    "whole": np.arange(-3, 4, dtype=np.int16),
    "big_endian": np.arange(5, dtype=">i4"),
    "by_columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "single": np.array(3.5),
    "none": np.zeros((0, 3)),
    "text": np.array(["a", "warning", "ε"]),
    "yes_or_no": np.array([[True], [False]]),
    "nested.name": np.float32([np.nan, np.inf]),
}


@pytest.mark.parametrize("compressed", [True, False])
def test_every_kind_of_array_is_what_numpy_reads(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "a.npz"
    if compressed:
        write_arrays(path, KINDS)
    else:
        np.savez(path, **KINDS)
    with np.load(path) as theirs:
        ours = read_arrays(path)
        assert list(ours) == theirs.files == list(KINDS)
        for name, array in ours.items():
            assert array.dtype == theirs[name].dtype
            np.testing.assert_array_equal(array, theirs[name], strict=True)
            array.fill(array.flat[0] if array.size else 0)  # it may be written to


def test_only_what_is_wanted_is_read(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.npz", KINDS)
    assert list(read_arrays(tmp_path / "a.npz", "text", wanted=lambda name: name == "whole")) == ["text", "whole"]


class Trap:
    """Unpickling one leaves a folder."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.place),)


def test_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", labels=np.array([Trap(tmp_path / "sprung")], dtype=object))
    with pytest.raises(DfrdBenchError, match="no such file of arrays"):
        read_arrays(tmp_path / "a.npz", "labels")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("kept", [0, 3, 9, 50, 120, 130])
def test_an_array_that_ends_too_early_is_refused(tmp_path: Path, kept: int) -> None:
    np.save(tmp_path / "whole.npy", np.arange(20))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("labels.npy", (tmp_path / "whole.npy").read_bytes()[:kept])
    with pytest.raises(DfrdBenchError, match="no such file of arrays"):
        read_arrays(tmp_path / "a.npz", "labels")


def test_a_damaged_byte_is_refused_wherever_it_is(tmp_path: Path) -> None:
    """In the compressed numbers, in what says how they are compressed, or in the list of contents."""
    path = tmp_path / "a.npz"
    write_arrays(path, {"labels": np.random.default_rng(0).integers(0, 10, 300)})
    whole = path.read_bytes()
    for place in range(60, len(whole) - 120, 5):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with pytest.raises(DfrdBenchError, match="no such file of arrays"):
            read_arrays(path, "labels")
