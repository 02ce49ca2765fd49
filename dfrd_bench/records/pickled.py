"""PyTorch checkpoints read without running anything in them: tensors and plain values come back, all else as a mere name.

`torch.save` writes a zip archive of a pickle and of one file per storage. The pickle is read by Python's own unpickler with every
name in it answered from a short list, or by an inert stand-in; sizes are held against the archive before memory is taken.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from dfrd_bench.records.reading import MIB, opened

if TYPE_CHECKING:
    from torch import Tensor

LARGEST_PICKLE = 64 * MIB
IN_PYTHON: Any = pickle._Unpickler  # whose memory follows the data; that in C can be made to take all
PLAIN = (str, int, float, bytes, bool, type(None))
STORAGES = {
    **{"FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16"},
    **{"LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8"},
    **{"ByteStorage": "uint8", "BoolStorage": "bool", "UntypedStorage": "uint8"},
}


class TorchScriptError(Exception):
    """The archive holds a program."""


class Foreign:
    """Stands for an object of a class that is not known here: its name, and the state it was saved with."""

    name: ClassVar[str] = ""
    state: Any = None

    def __new__(cls, *_: Any, **__: Any) -> Foreign:
        """Whatever it is made from."""
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        """Nothing is kept."""

    def __call__(self, *_: Any, **__: Any) -> Foreign:
        """What would come of it is as foreign."""
        return self

    def ignore(self, *_: Any) -> None:
        """Members of a foreign list or mapping are of no use."""

    append = extend = add = __setitem__ = ignore


class _Ordered(dict[Any, Any]):
    """An OrderedDict, filled with plain keys only."""

    def __new__(cls, *_: Any, **__: Any) -> _Ordered:
        return super().__new__(cls)

    def __init__(self, items: Sequence[Any] = ()) -> None:
        super().__init__((_plain(key), value) for key, value in items)


class _Storage:
    """The elements of one storage."""

    def __init__(self, values: Tensor) -> None:
        self.values = values


class _StorageType:
    def __init__(self, dtype: str) -> None:
        self.dtype = dtype


def read_checkpoint(path: Path) -> Any:
    """What a checkpoint holds; objects of unknown classes as `Foreign`.

    Raises:
        OSError: the file cannot be read.
        TorchScriptError: it holds a program.
        Exception: it is damaged, in any of many ways.
    """
    with opened(path) as file, zipfile.ZipFile(file) as archive:
        names = {info.filename: info for info in archive.infolist()}
        (pickled,) = (name for name in names if name.endswith("/data.pkl") and name.count("/") == 1)
        root = pickled.removesuffix("data.pkl")
        if f"{root}constants.pkl" in names:
            raise TorchScriptError
        if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
            raise ValueError("byteorder")
        if names[pickled].file_size > LARGEST_PICKLE:
            raise ValueError("size")
        return _Unpickler(archive, root, archive.read(pickled), path.stat().st_size).load()


def state_of(module: Foreign) -> dict[str, Any] | None:
    """The state dict of a module that was saved whole, by the attributes that every module has; None if it is none."""
    weights: dict[str, Any] = {}
    waiting, seen = [("", module)], {0}
    while waiting:
        prefix, one = waiting.pop()
        state = one.state
        if not isinstance(state, Mapping) or not isinstance(state.get("_modules"), Mapping) or id(one) in seen:
            return None
        seen.add(id(one))
        for kind in ("_parameters", "_buffers"):
            tensors = state.get(kind)
            if isinstance(tensors, Mapping):
                weights |= {f"{prefix}{name}": tensor for name, tensor in tensors.items() if tensor is not None}
        inside = [(name, part) for name, part in state["_modules"].items() if part is not None]
        if not all(isinstance(part, Foreign) for _, part in inside):
            return None
        waiting += [(f"{prefix}{name}.", part) for name, part in reversed(inside)]
    return weights


class _Unpickler(IN_PYTHON):  # type: ignore[misc]
    """Answers every name in a pickle itself."""

    dispatch: ClassVar[dict[int, Any]] = dict(IN_PYTHON.dispatch)

    def __init__(self, archive: zipfile.ZipFile, root: str, data: bytes, size: int) -> None:
        super().__init__(io.BytesIO(data))
        self.archive, self.root, self.left = archive, root, size
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What a name stands for."""
        if (module, name) in TRUSTED:
            return TRUSTED[module, name]
        if module in ("torch", "torch.storage") and name in STORAGES:
            return _StorageType(STORAGES[name])
        return type("Foreign", (Foreign,), {"name": f"{module}.{name}"})

    def persistent_load(self, saved: Any) -> _Storage:
        """A storage: ("storage", type, key, where it was, number of elements)."""
        import torch

        _, kind, key, _, count = saved
        if key not in self.storages:
            dtype = getattr(torch, kind.dtype)
            info = self.archive.getinfo(f"{self.root}data/{key}")
            size = count * dtype.itemsize
            self.left -= info.file_size  # all storages together are in the file, each once
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != size or self.left < 0:
                raise ValueError("storage")
            data = bytearray(self.archive.read(info))
            values = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
            self.storages[key] = _Storage(values)
        return self.storages[key]

    def load_build(self) -> None:
        """BUILD gives an object its state; only stand-ins keep theirs."""
        state = self.stack.pop()
        if isinstance(found := self.stack[-1], Foreign):
            found.state = state

    def load_setitem(self) -> None:
        """SETITEM with a plain key."""
        _plain(self.stack[-2])
        super().load_setitem()

    def load_setitems(self) -> None:
        """SETITEMS with plain keys."""
        for key in self.stack[::2]:
            _plain(key)
        super().load_setitems()

    def load_dict(self) -> None:
        """DICT with plain keys."""
        for key in self.stack[::2]:
            _plain(key)
        super().load_dict()

    def load_no_set(self) -> None:
        """Sets have no place among weights, and their members could take for ever to hash."""
        raise pickle.UnpicklingError("a set")

    for _code, _load in (
        *((pickle.BUILD, load_build), (pickle.SETITEM, load_setitem), (pickle.SETITEMS, load_setitems)),
        *((pickle.DICT, load_dict), (pickle.ADDITEMS, load_no_set), (pickle.FROZENSET, load_no_set)),
    ):
        dispatch[_code[0]] = _load


def _plain(key: Any) -> Any:
    """A key whose hash takes no time: a tuple of tuples of tuples could take for ever."""
    if not isinstance(key, PLAIN):
        raise TypeError("key")
    return key


def _tensor(storage: _Storage, offset: int, size: Sequence[int], stride: Sequence[int], *_: Any) -> Tensor:
    """A view of a storage that stays within it, no larger than it."""
    whole = (offset, *size, *stride)
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    elements = math.prod(size)
    if min(whole) < 0 or (elements and not last < len(storage.values)) or elements > len(storage.values):
        raise ValueError("tensor")
    if not elements:
        return storage.values.new_empty(tuple(size))
    return storage.values.as_strided(tuple(size), tuple(stride), offset)


def _parameter(data: Tensor, *_: Any) -> Tensor:
    return data


TRUSTED: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Ordered,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}
