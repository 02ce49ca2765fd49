"""What `run --dry-run` says: the spec, and an estimate that is arithmetic over timed steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
from torch import nn

from dfrd_bench.method import Method
from dfrd_bench.runs.preparation import prepare
from dfrd_bench.runs.rehearsal import Cost, StageCost, counted, duration, rehearse
from dfrd_bench.runs.request import Request

pytestmark = pytest.mark.usefixtures("few_digits")


def test_operations_of_a_convolution_and_its_gradients_are_those_of_arithmetic() -> None:
    """A 3x3 convolution of 2 to 4 channels on 8x8 images: 2·9·2·4·64 per image; the weights' gradient costs as much again."""
    layer, x = nn.Conv2d(2, 4, 3, padding=1, bias=False), torch.rand(5, 2, 8, 8)
    forward = 5 * 2 * 9 * 2 * 4 * 64
    with counted() as performed:
        out = layer(x)
        assert performed() == forward
        torch.autograd.grad(out.sum(), list(layer.parameters()))
        assert performed() == 2 * forward


def test_total_counts_every_step_of_every_epoch_and_no_distillation_in_warm_up() -> None:
    stages = {"synthesize": StageCost(10, 0.5, 3.0), "distill": StageCost(4, 2.0, 7.0)}
    cost = Cost(stages, epochs=5, warmup_epochs=2, memory_bytes=0)
    assert cost.seconds == 5 * 10 * 0.5 + 3 * 4 * 2.0
    assert cost.operations == 5 * 10 * 3.0 + 3 * 4 * 7.0


def test_a_run_shorter_than_its_warm_up_still_distills_once() -> None:
    stages = {"synthesize": StageCost(10, 0.5, 3.0), "distill": StageCost(4, 2.0, 7.0)}
    assert Cost(stages, epochs=3, warmup_epochs=5, memory_bytes=0).seconds == 3 * 10 * 0.5 + 4 * 2.0


@pytest.mark.parametrize("method", ["zskt", "fast"])
def test_steps_are_those_of_the_run_and_operations_do_not_depend_on_how_many_were_rehearsed(method: str) -> None:
    def cost(**settings: int) -> Cost:
        own = {"batch_size": 8, "epochs": 7, "distillation_steps": 30, **settings}
        return rehearse(prepare(Request(method, settings=own)))

    few, many = cost(), cost(distillation_steps=60)
    assert few.epochs == 7
    assert few.stages["distill"].steps * 2 == many.stages["distill"].steps == 60
    assert few.stages["distill"].operations == many.stages["distill"].operations > 0
    if method != "zskt":
        config = prepare(Request(method)).config.model_dump()
        assert few.stages["synthesize"].steps == config["synthesis_steps"] * config["synthesis_rounds"]


def test_every_rehearsed_step_is_told() -> None:
    told: list[tuple[str, int, int]] = []
    rehearse(prepare(Request("zskt", settings={"batch_size": 4, "distillation_steps": 2})), lambda *at: told.append(at))
    assert told == [(f"{kind}: distill", done, 2) for kind in ("counting", "timing") for done in range(3)]


def test_dry_run_names_the_folder_of_the_run_and_writes_nothing(tmp_path: Path) -> None:
    results = tmp_path / "results"
    options = ("--set", "batch_size=8", "--set", "distillation_steps=2", "--set", "attack_steps=2")
    command = (
        "run",
        "--method",
        "zskt",
        "--epochs",
        "1",
        *options,
        "--attacks",
        "clean",
        "--results",
        results,
        "--quiet",
    )
    told = tiny.command(*command, "--dry-run")
    assert told.code == 0, told.err
    assert not results.exists()
    assert '"epochs": 1' in told.out
    assert tiny.command(*command).code == 0
    (made,) = results.rglob("record.json")
    assert str(made.parent) in told.out
    assert "(already run)" in tiny.command(*command, "--dry-run").out


def test_parameters_are_counted(tmp_path: Path) -> None:
    out = tiny.command("run", "--method", "zskt", "--set", "batch_size=4", "--dry-run", "--results", tmp_path).out
    assert "wrn-10-1, 77,562 parameters" in out


@pytest.mark.parametrize(("seconds", "text"), [(45.2, "45 s"), (720, "12 min"), (12240, "3.4 h")])
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_method_that_reports_no_stage_is_one_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"batch_size": 4, "distillation_steps": 12, "generator_steps": 1}
    whole = rehearse(prepare(Request("zskt", settings=settings))).stages["distill"]
    prepared = prepare(Request("zskt", settings=settings))
    told = prepared.method_class.train_epoch

    def silent_epoch(self: Method, epoch: int) -> dict[str, float]:
        report, self.progress = self.progress, lambda *_: None
        try:
            return told(self, epoch)
        finally:
            self.progress = report

    with monkeypatch.context() as patch:
        patch.setattr(prepared.method_class, "train_epoch", silent_epoch)
        cost = rehearse(prepared)
    assert list(cost.stages) == ["epoch"]
    assert cost.stages["epoch"].steps == 1
    assert cost.stages["epoch"].seconds > 0
    assert cost.stages["epoch"].operations == pytest.approx(12 * whole.operations, rel=0.15)  # and what no step counts


def test_a_stage_of_a_known_name_without_the_known_setting_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepare(Request("zskt", settings={"batch_size": 4, "distillation_steps": 2}))

    def one_step(self: Method, epoch: int) -> dict[str, float]:
        self.progress("synthesize", 0, 3)
        for done in range(3):
            self.progress("synthesize", done + 1, 3)
        return {}

    monkeypatch.setattr(prepared.method_class, "train_epoch", one_step)
    assert rehearse(prepared).stages["synthesize"].steps == 3
