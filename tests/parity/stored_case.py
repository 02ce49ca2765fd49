"""Stored parity cases: reading them, comparing with them, and feeding in the noise they were made with."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

Stored = dict[str, Tensor]


def stored(name: str) -> Stored:
    """The arrays of a file in this folder."""
    with np.load(Path(__file__).parent / name, allow_pickle=False) as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def gradients(value: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Of a scalar; zeros for an input it does not depend on."""
    return torch.autograd.grad(value, inputs, allow_unused=True, materialize_grads=True)


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> bool:
    """Whether no number is off by more than a share of the largest expected one."""
    return bool((found.detach() - expected).abs().max() <= tolerance * expected.abs().max())


def feed_noise(monkeypatch: pytest.MonkeyPatch, noise32: Tensor) -> list[tuple[int, ...]]:
    """Answer calls of `torch.randn` with draws [steps, ...] in units of 1/32; returns the list of shapes it will be asked for.

    A draw is given in the shape asked for where it has as many numbers, and else as it is, to be broadcast.
    """
    draws = iter(noise32.float() / 32)
    asked: list[tuple[int, ...]] = []

    def recorded(*size: int | tuple[int, ...], **_: object) -> Tensor:
        shape = tuple(size[0]) if isinstance(size[0], (tuple, torch.Size)) else size
        asked.append(shape)
        draw = next(draws)
        return draw.reshape(shape) if math.prod(shape) == draw.numel() else draw

    monkeypatch.setattr(torch, "randn", recorded)
    return asked
