"""A probe measures the student, and leaves no trace in its training, its record or its identity."""

from __future__ import annotations

import copy
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from dfrd_bench.methods.data_free.noise import Noise
from torch import Tensor

from dfrd_bench.images import LabelledImages
from dfrd_bench.method import Method
from dfrd_bench.observer import SILENT
from dfrd_bench.records.history import read_history
from dfrd_bench.records.schema import TrainingRecord
from dfrd_bench.records.store import load_record
from dfrd_bench.registry import METHODS
from dfrd_bench.runs.epochs import train_epochs
from dfrd_bench.runs.probing import Probing, evenly
from dfrd_bench.testing import problem_for, tiny_config
from dfrd_bench.testing.untouched import difference

PROBED = ["cmi", "deepinv", "dfhl", "fast", "ferd", "ferd-released", "noise", "zskt", "fair-ard", "mtard", "natural"]


def trained(method: type[Method], folder: Path, every: int | None, **config: Any) -> tuple[Method, TrainingRecord]:
    """Three epochs on a toy, with a probe after every n-th or without."""
    folder.mkdir()
    problem = problem_for(method, (1, 8, 8), 3)
    one = method(problem, tiny_config(method, config))
    asked = {} if every is None else {"probe": partial(Probing(every, one.config.epochs, problem), one)}
    record = train_epochs(one, one.config.epochs, settings={}, folder=folder, device=tiny.CPU, observer=SILENT, **asked)
    return one, record


@pytest.mark.parametrize("name", PROBED)
def test_the_student_and_all_else_is_the_same_bit_for_bit(name: str, tmp_path: Path) -> None:
    method = METHODS.get(name)
    (without, before), (with_probe, after) = trained(method, tmp_path / "a", None), trained(method, tmp_path / "b", 1)
    assert difference(without.state_dict(), with_probe.state_dict()) is None
    assert difference(without.student.state_dict(), with_probe.student.state_dict()) is None
    assert after.last.keys() == before.last.keys()
    assert with_probe.student.training == without.student.training
    probes = {key for key in read_history(tmp_path / "b") if key.startswith("probe_")}
    source = "synthetic" if method.sees == "nothing" else "training"
    assert probes >= {f"probe_{source}_{metric}" for metric in ("clean", "average", "worst_class")}
    assert not any(key.startswith("probe_") for key in read_history(tmp_path / "a"))


class Disturbing(Noise):
    """Samples from the very source that its training draws from, and from the global one."""

    def sample(self, n: int) -> Tensor:
        return self.images(n, self.generator) * torch.rand(())


def test_a_method_whose_sample_disturbs_it_is_put_back(tmp_path: Path) -> None:
    assert any(
        isinstance(value, torch.Generator)
        for value in vars(Disturbing(problem_for(Noise), tiny_config(Noise))).values()
    )
    without, _ = trained(Disturbing, tmp_path / "a", None)
    with_probe, _ = trained(Disturbing, tmp_path / "b", 1)
    assert difference(without.student.state_dict(), with_probe.student.state_dict()) is None


def test_it_is_made_after_every_nth_epoch_and_after_the_last(tmp_path: Path) -> None:
    trained(Noise, tmp_path / "a", 2, epochs=5)
    assert read_history(tmp_path / "a")["probe_synthetic_average"][0].tolist() == [2, 4, 5]


def test_images_that_cannot_be_had_are_one_warning_and_no_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Noise, "sample", lambda self, n: 1 / 0)
    trained(Noise, tmp_path / "a", 1)
    assert caplog.messages == [
        "No probe of this training: its images cannot be had (ZeroDivisionError: division by zero)."
    ]
    assert not any(key.startswith("probe_") for key in read_history(tmp_path / "a"))


def test_a_student_that_is_the_teacher_agrees_with_it_and_one_of_a_single_class_has_no_fairness() -> None:
    problem = tiny.problem(classes=3, eps=1e-6)
    method = Noise(problem, tiny_config(Noise))
    method.student = copy.deepcopy(problem.teacher)
    numbers = Probing(1, 1, problem)(method, 0)
    assert numbers["probe_synthetic_clean"] == numbers["probe_synthetic_average"] == 1
    with torch.no_grad():
        method.student.fc.weight.zero_()
        method.student.fc.bias.copy_(torch.tensor([0.0, 1.0, 0.0]))
    labels = torch.arange(30) % 3
    tested = LabelledImages(torch.rand(30, 1, 8, 8), labels)
    assert Probing(1, 1, problem, tested)(method, 0) == pytest.approx(
        {
            **{"probe_test_clean": 1 / 3, "probe_test_average": 1 / 3, "probe_test_worst_class": 0},
            "probe_test_nsd": 2**0.5,  # of 0, 1, 0: a third on average, and √2 thirds off
        }
    )


def test_images_are_taken_evenly_from_the_classes() -> None:
    labels = torch.tensor([0, 0, 0, 1, 0, 2, 1, 2, 2]).numpy()
    assert evenly(labels, 6).tolist() == [0, 1, 3, 5, 6, 7]
    assert evenly(labels, 1).tolist() == [0, 3, 5]


@pytest.mark.usefixtures("few_digits")
def test_a_run_has_the_same_weights_record_and_folder_with_and_without(tmp_path: Path) -> None:
    def made(results: str, *options: str) -> Path:
        asked = ("run", "--method", "zskt", "--epochs", "2", "--attacks", "clean", "--set", "batch_size=8")
        small = ("--set", "distillation_steps=2", "--set", "attack_steps=2")
        done = tiny.command(*asked, *small, *options, "--results", tmp_path / results, "--quiet")
        assert done.code == 0, done.err
        return next((tmp_path / results).rglob("record.json")).parent

    plain, on_test = made("a"), made("b", "--probe", "1", "--probe-on", "test")
    assert plain.relative_to(tmp_path / "a") == on_test.relative_to(tmp_path / "b")
    assert (plain / "student.safetensors").read_bytes() == (on_test / "student.safetensors").read_bytes()
    one, other = load_record(plain), load_record(on_test)
    assert one.spec == other.spec
    assert one.training is not None
    assert other.training is not None
    assert (one.training.last, one.training.passes) == (other.training.last, other.training.passes)
    lines = [json.loads(line) for line in (on_test / "history.jsonl").read_text().splitlines()]
    assert all(0 <= line["probe_test_average"] <= line["probe_test_clean"] <= 1 for line in lines)
