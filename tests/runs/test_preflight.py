"""What recording will need is checked before anything is trained, also by `--dry-run`."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from dfrd_bench.methods.data_free.zskt import ZSKT
from torch import Tensor, nn

from dfrd_bench.datasets.digits import Digits
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.registry import STUDENTS
from dfrd_bench.runs.preflight import check_place, check_student, size_of
from dfrd_bench.students.base import Architecture

pytestmark = pytest.mark.usefixtures("few_digits")


class Linear(nn.Module):
    """A student that is well."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.fc = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Any:
        return self.fc(x.flatten(1))


class Pair(Linear):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x), x


class Tied(Linear):
    def __init__(self) -> None:
        super().__init__()
        self.again = self.fc


class Eleven(Linear):
    def __init__(self) -> None:
        super().__init__(11)


class Hidden(Linear):
    """What it multiplies by is no part of its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = [torch.rand(1) + 1]

    def forward(self, x: Tensor) -> Any:
        return super().forward(x) * self.factor[0] * 10


class Diverged(Linear):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x) / 0


class Raises(Linear):
    def forward(self, x: Tensor) -> Any:
        raise KeyError("what")


class Random(Linear):
    """Draws noise: no reason to refuse it."""

    def forward(self, x: Tensor) -> Any:
        return super().forward(x) + torch.randn(len(x), 10)


WRONG = {
    Pair: "returns tuple, not a tensor",
    Tied: "share memory",
    Eleven: r"returns torch.float32 \(2, 11\), not a tensor \[2, 10\] of logits",
    Hidden: "gives other logits once its weights are saved and loaded",
    Diverged: "logits that are not finite",
    Raises: "KeyError: 'what'",
}


def register(patch: pytest.MonkeyPatch, kind: type[nn.Module]) -> str:
    """A student plugin of this class."""
    get = STUDENTS.get
    architecture = Architecture("", lambda argument, channels, classes: kind())
    patch.setattr(STUDENTS, "get", lambda name: architecture if name == "mine" else get(name))
    return "mine"


@pytest.mark.parametrize("kind", WRONG, ids=lambda kind: kind.__name__)
def test_a_student_that_could_not_be_recorded_is_refused_before_training_and_by_a_dry_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[nn.Module]
) -> None:
    register(monkeypatch, kind)
    monkeypatch.setattr(ZSKT, "train_epoch", lambda *_: pytest.fail("trained"))
    for more in ([], ["--dry-run"]):
        done = tiny.command(
            "run", "--method", "zskt", "--student", "mine", "--epochs", "1", "--results", tmp_path, *more
        )
        assert done.code == 2
        assert "Traceback" not in done.err
        with pytest.raises(DfrdBenchError, match=WRONG[kind]):
            raise DfrdBenchError(done.err)
    assert tiny.files_below(tmp_path) == []


@pytest.mark.parametrize("kind", [Linear, Random])
def test_a_student_that_is_well_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch, kind: type[nn.Module]) -> None:
    name, network = register(monkeypatch, kind), kind()
    before, state = {n: t.clone() for n, t in network.state_dict().items()}, torch.get_rng_state()
    assert check_student(network, name, Digits.info, tiny.CPU, 0) > 4 * 650
    assert all(torch.equal(before[n], t) for n, t in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert network.training


def test_a_teacher_whose_weights_are_not_finite_is_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dfrd_bench.teachers import base

    load = base.load_teacher

    def damaged(*args: Any, **kwargs: Any) -> Any:
        teacher = load(*args, **kwargs)
        next(teacher.model.parameters()).view(-1)[0] = float("nan")
        return teacher

    monkeypatch.setattr(base, "load_teacher", damaged)
    for more in ([], ["--dry-run"]):
        done = tiny.command("run", "--method", "zskt", "--epochs", "1", "--results", tmp_path, *more)
        assert done.code == 2
        assert "holds numbers that are not finite" in done.err


def test_a_name_that_is_not_utf8_is_refused_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("caf\udce9", *Digits.info.class_names[1:])
    monkeypatch.setattr(Digits, "info", Digits.info.model_copy(update={"class_names": names}))
    for more in ([], ["--dry-run"]):
        done = tiny.command("run", "--method", "zskt", "--epochs", "1", "--results", tmp_path, *more)
        assert done.code == 2
        assert r"'caf\udce9' is not UTF-8 text" in done.err


@pytest.mark.parametrize(
    ("folder", "attack", "wrong"),
    [
        ("x" * 256, "clean", "A name of 256 bytes is too long for the file system, which takes 255"),
        ("é" * 128, "clean", "A name of 256 bytes is too long"),
        ("run", "a" * 250, "too long for the file system"),
        ("/".join(["x" * 200] * 21), "clean", "the system takes 4095"),
    ],
)
def test_paths_that_no_file_can_have_are_refused(tmp_path: Path, folder: str, attack: str, wrong: str) -> None:
    with pytest.raises(DfrdBenchError, match=wrong):
        check_place(tmp_path / folder, [attack], 0)
    check_place(tmp_path / ("x" * 255), ["clean"], 0)
    assert tiny.files_below(tmp_path) == []


def test_too_little_space_is_refused_with_both_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, 3 << 20))
    check_place(tmp_path, ["clean"], 3 << 20)
    with pytest.raises(DfrdBenchError, match=r"About 4 MiB will be written to .*, and 3 MiB are free there"):
        check_place(tmp_path, ["clean"], 4 << 20)


def test_the_size_of_a_state_is_that_of_its_tensors() -> None:
    state = {
        "a": torch.zeros(3),
        "b": [torch.zeros(2, dtype=torch.int64), ("x", {"c": torch.zeros(5, dtype=torch.uint8)})],
    }
    assert size_of(state) == 3 * 4 + 2 * 8 + 5


def test_a_results_folder_whose_name_is_too_long_is_one_line(tmp_path: Path) -> None:
    for more in ([], ["--dry-run"]):
        done = tiny.command("run", "--method", "zskt", "--epochs", "1", "--results", tmp_path / ("x" * 300), *more)
        assert done.code == 2
        assert "A name of 300 bytes is too long for the file system" in done.err
