"""What a run draws and computes is the same whatever somebody else's code does meanwhile."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def untouched() -> Iterator[None]:
    """What is done inside changes no random number of the run's, nor how PyTorch computes.

    The random states of Python, of NumPy and of PyTorch on every device, whether gradients are recorded, the default type and the
    number of threads are put back where they differ.
    """
    before = random.getstate()
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    drawn = numpy.random.get_state(legacy=False) if numpy else None
    states = _states(torch) if torch else []
    switches = _switches(torch) if torch else ()
    try:
        yield
    finally:
        if random.getstate() != before:
            random.setstate(before)
        if numpy and not _same(numpy.random.get_state(legacy=False), drawn):
            numpy.random.set_state(drawn)
        if torch:
            for (device, state), (_, now) in zip(states, _states(torch), strict=False):
                if not torch.equal(state, now):
                    _put_back(torch, device, state)
            if _switches(torch) != switches:
                gradients, dtype, threads = switches
                torch.set_grad_enabled(gradients)
                torch.set_default_dtype(dtype)
                torch.set_num_threads(threads)


def _states(torch: Any) -> list[tuple[int | None, Any]]:
    """(device, state) of PyTorch's global generators: of the CPU (None), and of each GPU, where those are in use."""
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    return [(None, torch.get_rng_state()), *((number, torch.cuda.get_rng_state(number)) for number in gpus)]


def _put_back(torch: Any, device: int | None, state: Any) -> None:
    if device is None:
        torch.set_rng_state(state)
    else:
        torch.cuda.set_rng_state(state, device)


def _switches(torch: Any) -> tuple[Any, ...]:
    return torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()


def _same(one: Any, other: Any) -> bool:
    """Whether two states of NumPy's global generator are equal."""
    key, old = one["state"].pop("key"), other["state"]["key"]
    rest = {**other, "state": {name: value for name, value in other["state"].items() if name != "key"}}
    return bool((key == old).all()) and one == rest
