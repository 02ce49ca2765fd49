"""How far an evaluation by a sequence of attacks is: all that is needed to go on after a stop, and whether that can be true."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FEWEST = 8  # images that make a tenth

Arrays = dict[str, NDArray[Any]]


def no_margins(predictions: Tensor) -> Tensor:
    """The margins of images [N] before any attack: ∞, float32."""
    return torch.full(predictions.shape, math.inf)


@dataclass
class State:
    """What must be kept to go on after a stop as if there had been none.

    Attributes:
        predictions: [N] class of each image under the attack that broke it, or its own where none has.
        batch_size: images per batch; halved when memory runs out.
        margins: [N] float32, the smallest margin that an attack has left each image; ∞ before any.
        accuracies: share of images still standing, before the first stage and after each finished one.
        pending: positions of the images that the current stage has still to attack; None between stages.
        tenth: positions of the images that a selective stage has attacked since it last decided to go on.
        unpredicted: images for which the network gave a NaN or an infinity.
        notes: warnings so far.
    """

    predictions: Tensor
    batch_size: int
    margins: Tensor
    accuracies: list[float]
    pending: Tensor | None = None
    tenth: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.long))
    unpredicted: int = 0
    notes: list[str] = field(default_factory=list)

    def to_arrays(self) -> Arrays:
        """As arrays for a file."""
        pending = {} if self.pending is None else {"pending": self.pending.numpy().copy()}
        return {
            "predictions": self.predictions.numpy().copy(),
            "batch_size": np.array(self.batch_size),
            "margins": self.margins.numpy().copy(),
            "tenth": self.tenth.numpy().copy(),
            "accuracies": np.array(self.accuracies),
            "unpredicted": np.array(self.unpredicted),
            "notes": np.array(self.notes, dtype=np.str_),
            **pending,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], images: int, classes: int) -> State | None:
        """What `to_arrays` gave, now or before there were selective stages; None if that cannot have been: not of as many
        images, a class that there is not, a position where no image is.
        """
        try:
            predictions = _whole(arrays["predictions"], classes)
            state = cls(
                predictions=predictions,
                batch_size=int(_number(arrays["batch_size"], "iu")),
                margins=_margins(arrays["margins"]) if "margins" in arrays else no_margins(predictions),
                accuracies=[float(_number(value, "f")) for value in arrays["accuracies"]],
                pending=_whole(arrays["pending"], images) if "pending" in arrays else None,
                tenth=_whole(arrays["tenth"], images) if "tenth" in arrays else torch.empty(0, dtype=torch.long),
                unpredicted=int(_number(arrays["unpredicted"], "iu")),
                notes=[str(note) for note in arrays["notes"]],
            )
        except (KeyError, TypeError, ValueError):
            return None
        right = len(state.predictions) == len(state.margins) == images and state.batch_size >= 1
        begun = bool(state.accuracies) and all(0 <= share <= 1 for share in state.accuracies)
        return state if right and begun and state.unpredicted >= 0 and len(state.tenth) < state.a_tenth else None

    @property
    def a_tenth(self) -> int:
        """Images that a selective stage attacks before it decides whether to go on."""
        return max(FEWEST, math.ceil(len(self.predictions) * self.accuracies[-1] / 10))

    def note(self, text: str) -> None:
        """Keep a warning, once."""
        if text not in self.notes:
            self.notes.append(text)


def _whole(array: NDArray[Any], below: int) -> Tensor:
    """Whole numbers from 0 to below a bound, [n], as int64.

    Raises:
        ValueError: they are none.
    """
    if array.ndim != 1 or array.dtype.kind not in "iu" or (array.size and not 0 <= array.min() <= array.max() < below):
        raise ValueError
    return torch.from_numpy(array.astype(np.int64))


def _margins(array: NDArray[Any]) -> Tensor:
    """Numbers [n] as float32.

    Raises:
        ValueError: they are none.
    """
    if array.ndim != 1 or array.dtype.kind != "f":
        raise ValueError
    return torch.from_numpy(array.astype(np.float32))


def _number(array: Any, kinds: str) -> Any:
    """A single number of some NumPy kinds.

    Raises:
        ValueError: it is none.
    """
    number = np.asarray(array)
    if number.shape != () or number.dtype.kind not in kinds or not np.isfinite(number):
        raise ValueError
    return number
