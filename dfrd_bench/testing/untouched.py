"""What a method must leave as it was: the process's global state, and every part of a network that is not its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")

GLOBALS: Mapping[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "Python's random state": (random.getstate, random.setstate),
    "NumPy's random state": (np.random.get_state, np.random.set_state),
    "PyTorch's random state": (torch.get_rng_state, torch.set_rng_state),
    "the default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "whether gradients are recorded": (torch.is_grad_enabled, torch.set_grad_enabled),
    "the number of threads": (torch.get_num_threads, torch.set_num_threads),
    "the precision of float32 products": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "whether algorithms are deterministic": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "whether cuDNN is deterministic": (
        lambda: torch.backends.cudnn.deterministic,
        lambda value: setattr(torch.backends.cudnn, "deterministic", value),
    ),
    "whether cuDNN looks for the fastest algorithm": (
        lambda: torch.backends.cudnn.benchmark,
        lambda value: setattr(torch.backends.cudnn, "benchmark", value),
    ),
}
"""What belongs to the whole process: how to read it and how to set it."""


def global_state() -> dict[str, Any]:
    """Everything in `GLOBALS` as it is now."""
    return {what: read() for what, (read, _) in GLOBALS.items()}


@contextmanager
def globals_put_back() -> Iterator[None]:
    """Whatever changes inside in the process's global state is as before afterwards."""
    before = global_state()
    try:
        yield
    finally:
        for what, (read, write) in GLOBALS.items():
            if difference(before[what], read()) is not None:
                write(before[what])


@contextmanager
def other_randomness() -> Iterator[None]:
    """The global random sources in a state of their own inside, as they were afterwards."""
    with globals_put_back():
        random.seed(1)
        np.random.seed(1)  # noqa: NPY002
        torch.default_generator.manual_seed(1)  # not torch.manual_seed, which seeds the GPUs as well
        yield


def condition(network: nn.Module) -> dict[str, Any]:
    """All that a user of a network might change about it, copied."""
    return {
        "weight or buffer": {key: value.clone() for key, value in network.state_dict().items()},
        "mode": {key: module.training for key, module in network.named_modules()},
        "requires_grad": {key: value.requires_grad for key, value in network.named_parameters()},
        "gradient": {key: value.grad is not None for key, value in network.named_parameters()},
        "set of hooks": {key: [len(getattr(m, kind)) for kind in HOOKS] for key, m in network.named_modules()},
    }


def difference(one: Any, other: Any, where: str = "") -> str | None:
    """Where two nested values first differ, bit for bit, as a path of keys; None where they are the same."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in dict.fromkeys([*one, *other]):
            path = f"{where} {key}".strip()
            found = difference(one[key], other[key], path) if key in one and key in other else path
            if found is not None:
                return found
        return None
    if isinstance(one, Sequence) and not isinstance(one, str) and type(one) is type(other) and len(one) == len(other):
        for index, (mine, its) in enumerate(zip(one, other, strict=True)):
            if (found := difference(mine, its, f"{where}[{index}]")) is not None:
                return found
        return None
    return None if _same(one, other) else where or "value"


def _same(one: Any, other: Any) -> bool:
    """Equality of what is not nested; NaN equals NaN."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        if one.dtype != other.dtype or one.shape != other.shape:
            return False
        return bool(((one == other) | ((one != one) & (other != other))).all())
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return bool(np.array_equal(one, other))
    return bool(one == other or (one != one and other != other))
