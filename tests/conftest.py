"""Fixtures that several rooms' tests share; and one thread each, so that tests can run side by side."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

torch.set_num_threads(1)  # tiny networks gain nothing from more, and lose much where the cores are busy
os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that tests start
for number, usual in ((signal.SIGINT, signal.default_int_handler), (getattr(signal, "SIGHUP", None), signal.SIG_DFL)):
    if number is not None and signal.getsignal(number) is signal.SIG_IGN:  # of a job in the background, or under nohup
        signal.signal(number, usual)  # as processes that tests start inherit it


@pytest.fixture(autouse=True)
def seeded() -> None:
    """What a test draws from PyTorch's global generator is the same in every run, in whatever order tests run."""
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other work is seen, whatever runs beside the tests."""
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)


@pytest.fixture(scope="session")
def net() -> nn.Module:
    """A small convolutional network in eval mode, 10 classes, 8x8 grey images."""
    return tiny.SmallConv().eval().requires_grad_(False)


@pytest.fixture(scope="session")
def batch(net: nn.Module) -> tuple[Tensor, Tensor]:
    """200 random images and the classes `net` gives them."""
    x = tiny.random_images(200)
    return x, tiny.own_labels(net, x)


@pytest.fixture
def unmoved_rng() -> Iterator[None]:
    """Fails the test that moves the global random state of Python, NumPy or PyTorch."""
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())  # noqa: NPY002
    yield
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


@pytest.fixture
def few_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few test images, so that an evaluation takes no time."""
    tiny.cut_digits(monkeypatch)
