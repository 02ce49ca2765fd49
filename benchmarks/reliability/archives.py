"""Damaged and hostile binary files that keep the structure of their format; and which mutant suits which reader."""

from __future__ import annotations

import io
import json
import pickletools
import struct
import zipfile
from collections.abc import Callable, Mapping
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfrd_bench.records.arrays import quiet

from .mutants import bytes_of, csv_of, json_of, jsonl_of, tree_of, yaml_of

TYPES = (
    "<i2",
    ">i4",
    "<u8",
    "<f4",
    "<f8",
    "|b1",
    "<c8",
    "<U3",
    "|S2",
    "|O",
    "<M8[s]",
    "|V8",
    "<i3",
    "f",
    "[('a','<i2')]",
)
SIZES = (0, 1, 2, 7, 8, 60, 899, 900, 901, 2**16, 2**31, 2**40, 2**63, -1)
OPERATIONS: tuple[bytes, ...] = (  # of pickles
    *(b"(", b"0", b"2", b"}", b"]", b"N", b"R", b"b", b"\x86", b"Q", b"e", b"u", b"\x8f", b"I-1\n", b"K\xff"),
    *(b"J\xff\xff\xff\x7f", b"r\xff\xff\xff\x7f", b"X\xff\xff\xff\x7fx", b"\x8a\x09" + b"\x7f" * 9),
    *(b"cos\nsystem\n", b"cbuiltins\nexec\n", b"ctorch\nload\n"),
)
OTHER_KINDS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n",
    *(b"P6 99999 99999 255\n", b"P3 8 8 65535 1", b"GIF89a", b""),
)


def npy(array: NDArray[Any]) -> bytes:
    """An array as a npy file."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=True)
    return stream.getvalue()


def npy_of(data: bytes, rng: Random) -> bytes:
    """A npy file that holds another array, claims another one, or is damaged."""
    array = np.lib.format.read_array(io.BytesIO(data))
    match rng.randrange(6):
        case 0:
            return bytes_of(data, rng)
        case 1:  # a header that lies
            shape = tuple(rng.choice(SIZES) for _ in range(rng.randrange(4)))
            words = f"{{'descr': {rng.choice(TYPES)!r}, 'fortran_order': {rng.random() < 0.2}, 'shape': {shape}, }}"
            header = words.encode().ljust(118) + b"\n"
            return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + array.tobytes()
        case 2:
            kinds = ("i1", ">i4", "u8", "f2", "f8", "c8", "U5", "S3", "?")
            return npy(array.astype(rng.choice(kinds), casting="unsafe") if array.dtype.kind in "iuf" else array)
        case 3 if array.ndim:
            odd = (array[:-1], array[None], array.ravel()[:1], array[::-1], array.T, np.array(None), np.zeros((0, 3)))
            return npy(np.ascontiguousarray(rng.choice(odd)))
        case 4 if array.size and array.dtype.kind in "iuf":
            changed = array.copy().ravel()
            changed[rng.randrange(changed.size)] = (
                rng.choice((0, 1, 9, 10, 127)) if array.dtype.kind in "iu" else np.nan
            )
            return npy(changed.reshape(array.shape))
        case _:
            return rng.choice((b"", b"hello", npy(np.array([{"a": 1}], dtype=object)), data[:80], data + b"x"))


def zip_of(data: bytes, rng: Random, inside: Callable[[str, bytes, Random], bytes]) -> bytes:
    """A zip archive with changed, lost, doubled or renamed members, packed in another way, or damaged."""
    if rng.random() < 0.25:
        return bytes_of(data, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    at = rng.randrange(len(members))
    name, content = members[at]
    match rng.randrange(8):
        case 0:
            del members[at]
        case 1:
            members.append((name, content[: len(content) // 2]))
        case 2:
            members[at] = (rng.choice(("x.npy", "../x", "labels", "attack_.npy", "a\x1b.npy", "")) or "y", content)
        case _:
            members[at] = (name, inside(name, content, rng))
    packing = rng.choice(
        (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    )
    stream = io.BytesIO()
    with quiet(), zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED if rng.random() < 0.5 else packing) as archive:
        for member, raw in members:
            archive.writestr(member, raw)
    return stream.getvalue()


def npz_of(data: bytes, rng: Random) -> bytes:
    """A npz file with other arrays in it, or damaged."""
    if rng.random() < 0.05:
        return rng.choice((npy(np.zeros(900, "i2")), b"", b"PK\x03\x04half", b"PK\x05\x06" + bytes(18)))
    return zip_of(data, rng, lambda name, content, rng: npy_of(content, rng))


def checkpoint_of(data: bytes, rng: Random) -> bytes:
    """A PyTorch archive whose pickle says something else, or whose storages are others, or damaged."""
    return zip_of(
        data, rng, lambda name, raw, rng: pickle_of(raw, rng) if name.endswith(".pkl") else bytes_of(raw, rng)
    )


def pickle_of(data: bytes, rng: Random) -> bytes:
    """A pickle with operations doubled, lost, exchanged or given another argument."""
    if rng.random() < 0.2:
        return bytes_of(data, rng)
    at = [position for _, _, position in pickletools.genops(data) if position is not None] + [len(data)]
    operations = [data[first:last] for first, last in pairwise(at)]
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(operations))
        match rng.randrange(4):
            case 0:
                del operations[place : place + 1]
            case 1:
                operations.insert(place, operations[rng.randrange(len(operations))])
            case 2:
                operations[place] = rng.choice(OPERATIONS)
            case _:
                operations.insert(place, rng.choice(OPERATIONS))
        operations = operations or [b"."]
    return b"".join(operations)


def safetensors_of(data: bytes, rng: Random) -> bytes:
    """A safetensors file whose header says something else, or damaged."""
    if rng.random() < 0.3:
        return bytes_of(data, rng)
    (length,) = struct.unpack("<Q", data[:8])
    header = json.dumps(tree_of(json.loads(data[8 : 8 + length]), rng)).encode("utf-8", "surrogatepass")
    claimed = rng.choice((len(header), len(header), len(header) + 1, 2**40)) if rng.random() < 0.2 else len(header)
    return struct.pack("<Q", claimed) + header + data[8 + length :]


def image_of(data: bytes, rng: Random) -> bytes:
    """An image file that is damaged, mostly in its header, or is of another kind."""
    if rng.random() < 0.1:
        return rng.choice(OTHER_KINDS)
    if rng.random() < 0.6:
        return bytes_of(data[:64], rng) + data[64:]
    return bytes_of(data, rng)


MUTATE: Mapping[str, Callable[[bytes, Random], bytes]] = {
    "record": json_of,
    "predictions": npz_of,
    "contest": json_of,
    "sweep": json_of,
    "manifest": json_of,
    "samples": npz_of,
    "unfinished": npz_of,
    "checkpoint": checkpoint_of,
    "old-checkpoint": bytes_of,
    "safetensors": safetensors_of,
    "suite": yaml_of,
    "request": yaml_of,
    "image": image_of,
    "published": csv_of,
    "history": jsonl_of,
}
"""What makes a mutant of a valid file, by reader."""
