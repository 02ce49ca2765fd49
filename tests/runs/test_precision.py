"""`--precision auto` takes what is quicker, writes down what it took, and keeps to it."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
from torch import nn

from dfrd_bench.attacks import surrogate
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.runs import precision
from dfrd_bench.runs.precision import quicker
from dfrd_bench.runs.preparation import prepare
from dfrd_bench.runs.request import requested
from dfrd_bench.runs.run import train_teacher

SHAPE = (1, 8, 8)


@pytest.fixture
def units(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(surrogate, "has_bfloat16_units", lambda device: True)
    return monkeypatch


@pytest.mark.parametrize(("ratio", "expected"), [(0.9, "fp32"), (1.1, "fp32"), (1.2, "bf16"), (3.0, "bf16")])
def test_bfloat16_must_be_worth_its_digits(units: pytest.MonkeyPatch, ratio: float, expected: str) -> None:
    units.setattr(precision, "seconds_of", lambda *args: ratio if args[-1] == "fp32" else 1.0)
    assert quicker(tiny.SmallConv(), SHAPE, 4, tiny.CPU) == expected


def test_without_units_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surrogate, "has_bfloat16_units", lambda device: False)
    monkeypatch.setattr(precision, "seconds_of", lambda *args: pytest.fail("measured"))
    assert quicker(tiny.SmallConv(), SHAPE, 4, tiny.CPU) == "fp32"


def test_what_is_measured_is_a_gradient_at_the_precision_in_question(units: pytest.MonkeyPatch) -> None:
    class Watched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = tiny.SmallConv()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append((torch.is_autocast_enabled("cpu"), x.requires_grad, len(x)))
            out: torch.Tensor = self.net(x)
            return out

    seen: list[tuple[bool, bool, int]] = []
    quicker(Watched(), SHAPE, 5, tiny.CPU)
    assert set(seen) == {(False, True, 5), (True, True, 5)}


def test_a_run_that_was_begun_goes_on_as_it_was(tmp_path: Path, units: pytest.MonkeyPatch) -> None:
    def prepared(name: str) -> object:
        return prepare(requested({"method": "zskt", "precision": name, "results": tmp_path})).spec

    units.setattr(precision, "seconds_of", lambda *args: 2.0 if args[-1] == "fp32" else 1.0)
    bf16 = prepared("bf16")
    assert prepared("auto") == bf16
    fp32 = prepared("fp32")
    fp32.folder(tmp_path).mkdir(parents=True)  # type: ignore[attr-defined]
    assert prepared("auto") == fp32


def test_a_teachers_training_has_nothing_to_time() -> None:
    outcome = tiny.command("teacher", "train", "--dataset", "digits", "--precision", "auto")
    assert outcome.code == 2
    with pytest.raises(DfrdBenchError, match="name fp32, tf32 or bf16"):
        train_teacher("digits", precision="auto")
