"""What an evaluation that was stopped left behind, of attacks that are done and of others, so that the next one goes on."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.arrays import packed, read_arrays
from dfrd_bench.records.files import replace_whole, unwritable
from dfrd_bench.records.store import unfinished_file

KEY = "key"
FINISHED, SECONDS, NOTES = "finished", "seconds", "notes"  # in the file of an attack that is done
STAGES, STANDING = "stages", "standing"


@dataclass(frozen=True)
class Finished:
    """An attack that is done.

    Attributes:
        predicted: [N] the network's classes under it.
        seconds: it took.
        notes: what it warned of.
        stages: share of images still standing after each of its stages, in order; None where it has none.
    """

    predicted: NDArray[np.int64]
    seconds: float
    notes: list[str]
    stages: dict[str, float] | None

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """As arrays for a file."""
        arrays = {FINISHED: self.predicted, SECONDS: np.array(self.seconds), NOTES: np.array(self.notes, dtype=np.str_)}
        if self.stages is not None:
            arrays |= {STAGES: np.array([*self.stages], dtype=np.str_), STANDING: np.array([*self.stages.values()])}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], images: int, classes: int) -> Finished | None:
        """What `to_arrays` gave, now or before it had all of these; None if they are of an attack that is not done,
        or damaged: not of as many images, or of a class that there is not.
        """
        if FINISHED not in arrays or not are_classes(arrays[FINISHED], images, classes):
            return None
        stages, seconds = None, seconds_of(arrays)
        try:
            if STAGES in arrays:
                stages = {str(name): float(share) for name, share in zip(arrays[STAGES], arrays[STANDING], strict=True)}
            notes = [str(note) for note in arrays.get(NOTES, ())]
        except (KeyError, TypeError, ValueError):  # damaged: it is done again
            return None
        if seconds is None or not all(0 <= share <= 1 for share in (stages or {}).values()):
            return None
        return cls(arrays[FINISHED].astype(np.int64), seconds, notes, stages)


def are_classes(array: NDArray[Any], images: int, classes: int) -> bool:
    """Whether an array holds one class, a number below `classes`, for each of so many images."""
    if array.shape != (images,) or array.dtype.kind not in "iu":
        return False
    return not images or bool(array.min() >= 0 and array.max() < classes)


def seconds_of(arrays: Mapping[str, NDArray[Any]]) -> float | None:
    """How long an attack had taken when its arrays were kept; None if they do not say."""
    array = arrays.get(SECONDS)
    if array is None or array.shape != () or array.dtype.kind not in "iuf":
        return None
    seconds = float(array)
    return seconds if 0 <= seconds < math.inf else None


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
        """Keep arrays for an attack, in a folder whose own folder is there.

        Raises:
            DfrdBenchError: that is gone, or cannot be written.
        """
        if self.folder is None:
            return
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        replace_whole(self._path(attack), packed({KEY: np.array(self._key(settings)), **arrays}))

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
