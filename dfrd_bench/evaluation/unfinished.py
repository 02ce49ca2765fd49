"""What an evaluation that was stopped left behind, so that the next one goes on from there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.files import read_arrays, write_arrays
from dfrd_bench.records.store import unfinished_file

KEY = "key"


@dataclass(frozen=True)
class Unfinished:
    """One file per attack in a folder, each naming the network, the images and the settings it belongs to.

    Attributes:
        folder: where; nothing is kept when None.
        key: see `key_of`; what carries another key is not used.
    """

    folder: Path | None
    key: str

    def load(self, attack: str, settings: Mapping[str, Any]) -> dict[str, NDArray[Any]] | None:
        """What `save` kept for an attack; None if that is nothing, damaged, or belongs to something else."""
        if self.folder is None or not self._path(attack).exists():
            return None
        try:
            arrays = read_arrays(self._path(attack), KEY)
        except DfrdBenchError:
            return None
        return arrays if str(arrays.pop(KEY)) == self._key(settings) else None

    def save(self, attack: str, settings: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep arrays for an attack."""
        if self.folder is not None:
            write_arrays(self._path(attack), {KEY: np.array(self._key(settings)), **arrays})

    def _path(self, attack: str) -> Path:
        assert self.folder is not None
        return unfinished_file(self.folder, attack)

    def _key(self, settings: Mapping[str, Any]) -> str:
        return self.key + json.dumps(settings, sort_keys=True)


def key_of(model: nn.Module, images_digest: str, seed: int) -> str:
    """sha256 over a network's weights, the test images and the seed."""
    h = hashlib.sha256(f"{images_digest} {seed}".encode())
    for name, tensor in model.state_dict().items():
        h.update(name.encode())
        h.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return h.hexdigest()
