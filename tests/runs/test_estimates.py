"""What a run will take, before it begins: held against arithmetic, counted operations, and downloads that fail the test."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import nn

from dfrd_bench.attacks import STANDARD_ATTACKS
from dfrd_bench.attacks.autoattack_stages import library_of, standard_stages
from dfrd_bench.attacks.effort import RIGHT, STANDING
from dfrd_bench.datasets.base import open_dataset
from dfrd_bench.problem import ThreatModel
from dfrd_bench.registry import ATTACKS, DATASETS
from dfrd_bench.runs import foresight
from dfrd_bench.runs.devices import GPUS, SHARE, Rate, known_gpu
from dfrd_bench.runs.forecast import Passes, Work, evaluation_of
from dfrd_bench.runs.guess import Sizes, forward_operations, sizes_of, training_operations
from dfrd_bench.runs.preparation import prepare
from dfrd_bench.runs.rehearsal import Sample, duration, rehearse, sample_for
from dfrd_bench.runs.request import Request
from dfrd_bench.runs.stand_ins import StandIns
from dfrd_bench.students.base import build_network

SIZES = Sizes(teacher=100.0, student=10.0, training_images=0, test_images=20, classes=10)


class Counting(nn.Module):
    """A network that counts images whose logits were asked for, and of these those for a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.queries, self.gradients = tiny.SmallConv().eval(), 0, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.requires_grad:
            self.gradients += len(x)
        else:
            self.queries += len(x)
        logits: torch.Tensor = self.inner(x)
        return logits


@pytest.mark.parametrize("name", ["clean", "fgsm", "pgd20", "cw", "cw_l2"])
def test_attacks_ask_as_often_as_they_say(name: str) -> None:
    model, x = Counting().eval(), tiny.random_images(4)
    y = tiny.own_labels(model.inner, x)
    attack, threat = ATTACKS.get(name), ThreatModel(eps=0.01, step=0.002)
    found = attack(model, x, y, threat=threat, indices=torch.arange(4), seed=0)
    model.queries += len(found)  # the verdict
    effort = attack.effort(10)
    assert model.gradients / 4 == effort.gradients
    assert model.queries / 4 == pytest.approx(effort.queries, abs=1)  # cw_l2 looks at its last image once more


@pytest.mark.parametrize("classes", [4, 10])
def test_autoattack_asks_as_the_library_is_set_up(classes: int) -> None:
    """Its stages' own numbers of calls, on the shares of the images that the estimate assumes; two calls each are their frame."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, classes)).eval()
    example = tiny.random_images(2)
    library = library_of(model, model, example, ThreatModel(), 0) if hasattr(model, "deterministic") else None
    if library is None:
        model.deterministic = False  # type: ignore[assignment]
        library = library_of(model, model, example, ThreatModel(), 0)
    calls = {stage.name: stage.calls for stage in standard_stages(library)}
    targets = min(9, classes - 1)
    assert calls["apgd-ce"] == 100 + 2
    assert calls["fab-t"] == targets * (2 * 100 + 2)
    assert calls["square"] == 5000 + 2
    effort = ATTACKS.get("autoattack").effort(classes)
    assert effort.gradients == pytest.approx(100 * (RIGHT + 2 * targets * STANDING))
    assert effort.queries == pytest.approx(STANDING * (100 * targets + 5000))
    assert ATTACKS.get("autoattack-fast").effort(classes).gradients < effort.gradients


def test_a_convolutions_operations_are_counted_without_computing_them() -> None:
    """3x3, 1 to 8 channels on 8x8 pixels, then 8 to 8 on 4x4, and 128 to 10."""
    expected = 2 * (9 * 1 * 8 * 64 + 9 * 8 * 8 * 16 + 128 * 10)
    assert forward_operations(tiny.SmallConv(), (1, 8, 8)) == expected


def test_a_network_that_needs_numbers_is_asked_with_numbers() -> None:
    class Looking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            flat = x.flatten(1)
            logits: torch.Tensor = self.layer(flat if float(flat.sum()) >= 0 else -flat)
            return logits

    assert forward_operations(Looking(), (1, 8, 8)) == 2 * 64 * 10


@pytest.mark.parametrize("method", ["ferd", "fast", "zskt", "rslad"])
def test_the_guess_from_settings_is_near_what_a_rehearsal_counts(method: str) -> None:
    """Within a factor of two, for methods with and without data; generators, which it leaves out, weigh much on 8x8 images."""
    settings: dict[str, Any] = {"batch_size": 16, "epochs": 3}
    if method != "rslad":
        settings |= {"generator_width": 8} | ({} if method == "zskt" else {"warmup_epochs": 0})
    prepared = prepare(Request(method, settings=settings, device="cpu"), loading=StandIns())
    guess = training_operations(prepared.config, sizes_of(prepared, 10))
    assert 0.5 < guess / rehearse(prepared).operations < 2


def test_a_smaller_batch_is_scaled_to_the_runs_own() -> None:
    request = Request("fast", settings={"batch_size": 32, "distillation_steps": 6, "generator_width": 8}, device="cpu")
    whole, part = rehearse(prepare(request)), rehearse(prepare(request), sample=Sample(8, 1, together=True))
    assert (whole.tried, part.tried, part.batch) == (32, 8, 32)
    for name, stage in whole.stages.items():
        assert part.stages[name].steps == stage.steps
        assert part.stages[name].operations == pytest.approx(
            stage.operations, rel=0.3
        )  # with what comes before the first
        assert part.stages[name].seconds > 0


def test_of_training_images_a_smaller_batch_takes_the_epochs_own_steps() -> None:
    request = Request("natural", settings={"batch_size": 64}, device="cpu")
    cost = rehearse(prepare(request), sample=Sample(8, 1, together=True))
    assert [stage.steps for stage in cost.stages.values()] == [-(-897 // 64)]


@pytest.mark.parametrize(
    ("rate", "sample"),
    [(1e12, Sample()), (2e4, Sample(64)), (2e3, Sample(4)), (5e2, Sample(4, 1, True)), (1, Sample(2, 1, True))],
)
def test_slower_devices_rehearse_less(rate: float, sample: Sample) -> None:
    """An image of a step is 4·100 + 43·10 operations here: teacher and student, synthesis, ten attack steps, a step back."""
    config = prepare(Request("ferd", settings={"batch_size": 256, "attack_steps": 10}, device="cpu")).config
    chosen = sample_for(config, SIZES, Rate(rate, rate, ""), seconds=15)
    assert (chosen.steps, chosen.together) == (sample.steps, sample.together)
    assert chosen.batch is None or 2 <= chosen.batch <= 256


def test_an_evaluation_is_images_times_passes_and_what_does_not_say_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        summary = ""

    get = type(ATTACKS).get
    monkeypatch.setattr(type(ATTACKS), "get", lambda self, name: Silent() if name == "mine" else get(self, name))
    found = evaluation_of(["clean", "pgd20", "mine"], SIZES, Passes(query=1.0, gradient=3.0))
    assert found.seconds == {"clean": 20.0, "pgd20": 20 * (1 + 20 * 3.0)}
    assert found.unknown == ("mine",)
    assert found.total == 20.0 + 20 * 61.0


def test_a_gpu_takes_its_share_of_the_peak_but_no_less_than_its_launches() -> None:
    gpu = known_gpu("NVIDIA H100 80GB HBM3")
    assert gpu is not None
    assert known_gpu("NVIDIA GeForce GTX 480") is None
    work = Work(training=SHARE * 66.9e12 * 100, steps=10, evaluation=SHARE * 66.9e12 * 10, calls=5)
    assert work.seconds(gpu, "fp32") == pytest.approx(110)
    assert work.seconds(gpu, "bf16") == pytest.approx(100 * 66.9 / 989.4 + 10)
    assert Work(1, 100, 1, 1000).seconds(gpu, "fp32") == pytest.approx(100 * 0.01 + 1000 * 0.002)
    assert all(gpu.fp32 <= gpu.tf32 <= gpu.bf16 for gpu in GPUS)


def test_days_are_said_as_days() -> None:
    assert duration(9 * 86400) == "9 days"


class TestNothingIsDownloaded:
    @pytest.fixture(autouse=True)
    def _no_network(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def download(*_: object, **__: object) -> None:
            pytest.fail("a download")

        monkeypatch.setenv("DFRD_BENCH_MODELS", str(tmp_path / "models"))
        monkeypatch.setenv("DFRD_BENCH_DATA", str(tmp_path / "data"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        for name in ("torchvision_sets", "tiny_imagenet"):
            monkeypatch.setattr(f"dfrd_bench.datasets.{name}.obtain", download)
        monkeypatch.setattr("dfrd_bench.teachers.robustbench_files.fetch", download)

    @pytest.mark.parametrize("dataset", ["cifar10", "cifar100", "svhn", "tiny-imagenet"])
    def test_images_that_are_not_there_are_noise_of_their_shape(self, dataset: str) -> None:
        request = Request("natural", dataset=dataset, student="wrn-10-1", device="cpu")
        prepared = prepare(request, loading=StandIns())
        assert prepared.stood_in == ("training images of noise",)
        sizes = DATASETS.get(dataset).sizes
        assert prepared.training_images == sizes["train"]
        (stage,) = rehearse(prepared, sample=Sample(2, 1, True)).stages.values()
        assert stage.steps == -(-sizes["train"] // 64)  # on a CPU the preset is cpu, with batches of 64
        assert sizes_of(prepared, prepared.dataset.count_tested()).test_images == sizes["test"]

    def test_a_teacher_that_is_not_there_is_a_network_of_its_architecture(self) -> None:
        request = Request("fast", dataset="cifar10", student="wrn-10-1", device="cpu")
        prepared = prepare(request, loading=StandIns())
        assert prepared.spec.teacher.name == "robustbench:Addepalli2022Efficient_RN18"
        assert (prepared.spec.teacher.architecture, prepared.spec.teacher.sha256) == ("ResNet18", "")
        parameters = sum(p.numel() for p in prepared.problem.teacher.parameters())
        assert parameters == sum(
            p.numel() for p in build_network("resnet-18", channels=3, num_classes=10, seed=0).parameters()
        )

    def test_a_run_says_what_stands_in_and_that_its_hash_is_not_known(self, tmp_path: Path) -> None:
        small = ("--set", "batch_size=2", "--student", "wrn-10-1", "--attacks", "clean", "--quiet")
        told = tiny.command(
            "run", "--method", "natural", "--dataset", "cifar10", *small, "--dry-run", "--results", tmp_path / "r"
        )
        assert told.code == 0, told.err
        assert "training images of noise: nothing was downloaded" in told.out
        assert "-seed0-????????" in told.out
        for figure in ("first estimate:", "training:", "evaluation:", "in all:", "on a GPU:"):
            assert figure in told.out
        assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(("load", "said"), [(0.2, False), (3.7, True)])
@pytest.mark.parametrize("command", ["run", "suite"])
def test_a_rehearsal_beside_other_work_says_that_its_times_are_doubtful(
    command: str, load: float, said: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    suite = tmp_path / "mine.yaml"
    suite.write_text("title: Mine\nruns:\n  - {method: natural, settings: {epochs: 1}}\n")
    which = ("run", "--method", "natural", "--set", "epochs=1") if command == "run" else ("suite", suite)
    words = ("--dataset", "digits", "--attacks", "clean", "--dry-run", "--quiet", "--results", tmp_path / "r")
    told = tiny.command(*which, *words)
    assert told.code == 0, told.err
    assert ("busy (load 3.7 on 2 processors)" in told.out) is said


class TestWithoutAGpu:
    @pytest.fixture(autouse=True)
    def none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)

    def planned(self, device: str) -> tuple[str, str, str, bool]:
        loading = StandIns()
        request = Request("natural", dataset="cifar10", settings={"batch_size": 2}, device=device)
        prepared = prepare(request, loading=loading)
        device = prepared.problem.device.type
        return prepared.spec.variant.partition("+")[0], prepared.spec.student, device, loading.without_gpu

    def test_a_run_is_planned_as_a_gpu_takes_it_and_rehearsed_by_the_cpu(self) -> None:
        assert self.planned("cuda") == self.planned("cuda:1") == ("batch_size=2", "resnet-18", "cpu", True)
        assert self.planned("auto") == self.planned("cpu") == ("cpu", "wrn-10-1", "cpu", False)

    def test_a_cpus_plan_names_the_command_of_a_gpus_plan_which_is_accepted(self, tmp_path: Path) -> None:
        small = ("--set", "batch_size=2", "--student", "wrn-10-1", "--attacks", "clean", "--quiet")
        words = ("run", "--method", "natural", "--dataset", "cifar10", *small, "--results", tmp_path)
        told = tiny.command(*words, "--dry-run").out
        note = next(line for line in told.splitlines() if line.startswith("note:"))
        assert "What a GPU takes by default is another run" in note
        (more,) = re.findall(r"the same command with (.*?) says", note)
        planned = tiny.command(*words, *more.split())
        assert planned.code == 0, planned.err
        assert "There is no GPU here" in planned.out
        assert "/natural/batch_size=2-seed0-" in planned.out
        assert "/natural/cpu+batch_size=2-seed0-" in told


def test_a_step_across_the_whole_ball_is_said_before_a_run() -> None:
    def said(**asked: Any) -> str:
        request = Request("trades", device="cpu", **asked)
        return foresight.said_of_steps(prepare(request))

    eps = open_dataset("digits").threat.eps
    assert said() == ""
    assert said(settings={"attack_step": 1.99 * eps}) == ""
    assert said(settings={"attack_step": 2 * eps}).startswith(f"attack_step = {2 * eps:.4g}, and ε = {eps:.4g}: ")
    assert said(step=3 * eps).startswith("--step = ")
    assert "\n" not in said(step=3 * eps)


def test_a_suite_is_estimated_run_by_run_and_in_all(tmp_path: Path) -> None:
    rows = tmp_path / "rows.yaml"
    settings = "{batch_size: 4, epochs: 1, distillation_steps: 2, attack_steps: 2}"
    rows.write_text(
        f"title: Rows\nruns:\n- {{method: zskt, settings: {settings}}}\n- {{method: natural, settings: {{epochs: 1}}}}\n"
    )
    words = (
        "suite",
        rows,
        "--seeds",
        "0-1",
        "--attacks",
        "clean",
        "--device",
        "cpu",
        "--results",
        tmp_path / "r",
        "--quiet",
    )
    told = tiny.command(*words, "--dry-run")
    assert told.code == 0, told.err
    lines = told.out.splitlines()
    assert len(lines) == 6
    assert all(" here: training " in line and "; on a GPU H100 " in line for line in lines[:4])
    assert lines[4].startswith("4 of 4 runs to make: ")
    assert lines[4].endswith(" here, one after another.")
    assert lines[5].startswith("On one GPU instead, the same runs one after another: H100 ")
    assert not (tmp_path / "r").exists()


def test_a_teachers_training_is_rehearsed(tmp_path: Path) -> None:
    weights = tmp_path / "t.safetensors"
    told = tiny.command(
        "teacher", "train", "--method", "natural", "--attacks", "clean", "--output", weights, "--dry-run", "--quiet"
    )
    assert told.code == 0, told.err
    assert "teacher:           none" in told.out
    assert f"folder:            {weights}" in told.out
    assert not list(tmp_path.iterdir())


class TestBeforeALongRun:
    @pytest.fixture
    def slow(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A device that does a million operations a second."""
        monkeypatch.setattr(foresight, "rate_of", lambda *_: Rate(1e6, 1e6, "here"))
        monkeypatch.setattr(foresight, "SLOWEST", 0.0)

    def said(self, attacks: tuple[str, ...] = STANDARD_ATTACKS, **request: Any) -> str:
        asked = Request(device="cpu", **request)
        return foresight.said_before(asked, prepare(asked), attacks)

    @pytest.mark.usefixtures("slow")
    def test_a_run_names_the_shorter_preset_and_the_shorter_evaluation(self) -> None:
        line = self.said(method="ferd")
        assert line.startswith("This will take about ")
        assert "--preset quick" in line
        assert "--attacks clean,fgsm,pgd20,cw" in line
        assert "\n" not in line

    @pytest.mark.usefixtures("slow")
    def test_what_is_the_quickest_already_names_a_smaller_student(self) -> None:
        assert "--student wrn-10-1" in self.said(("clean",), method="ferd", preset="quick", student="wrn-16-2")

    @pytest.mark.usefixtures("slow")
    def test_a_teacher_names_the_epochs_of_an_hour(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(foresight, "rate_of", lambda *_: Rate(1e9, 1e9, "here"))
        output = str(tmp_path / "t.safetensors")
        line = self.said(("clean",), method="trades", student="wrn-10-2", preset="teacher", output=output)
        epochs = int(line.partition("--epochs ")[2].split()[0])
        prepared = prepare(
            Request("trades", student="wrn-10-2", preset="teacher", output=output, epochs=epochs, device="cpu")
        )
        assert 3000 < training_operations(prepared.config, sizes_of(prepared, 1)) / 1e9 <= 3600

    def test_a_short_run_says_nothing_and_times_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(foresight, "rate_of", lambda *_: pytest.fail("timed"))
        assert self.said(method="zskt", epochs=1, attacks=("clean",)) == ""


class TestRoundsThatMultiply:
    def said(self, preset: str, **settings: Any) -> str:
        asked = Request("ferd", preset=preset, settings=settings, device="cpu")
        return foresight.said_of_rounds(asked, prepare(asked))

    def test_steps_in_every_round_are_counted_and_the_rounds_that_keep_them_are_named(self) -> None:
        """The digits' preset has two rounds of 20 steps in each of 40 epochs."""
        line = self.said("default", synthesis_steps=40)
        assert "40 synthesis steps in each of 2 rounds an epoch are 3,200 in all, 2 times the preset's 1,600" in line
        assert "--set synthesis_rounds=1 " in line

    @pytest.mark.parametrize(
        ("preset", "settings"),
        [("default", {}), ("default", {"synthesis_steps": 10}), ("paper", {"synthesis_steps": 40})],
    )
    def test_nothing_is_said_where_it_costs_no_more_or_there_is_one_round(
        self, preset: str, settings: dict[str, Any]
    ) -> None:
        assert self.said(preset, **settings) == ""
