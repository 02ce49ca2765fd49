"""Whatever a user gets wrong: one line on stderr that says so, exit code 2, and no file left behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tiny
import torch
from dfrd_bench.methods.data_free import ferd

from dfrd_bench.records.weights import write_weights
from dfrd_bench.registry import METHODS, TEACHERS
from dfrd_bench.students.base import build_network

FERD = ("run", "--method", "ferd", "--epochs", "1", *tiny.settings())


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def plain_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    """A teacher `plain` that has no BatchNorm layer."""
    get = TEACHERS.get
    monkeypatch.setattr(TEACHERS, "get", lambda name: tiny.without_batchnorm if name == "plain" else get(name))


def refused(*args: str | Path) -> str:
    """Run a command that must be refused; the message, without its newline."""
    outcome = tiny.command(*args)
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    assert re.fullmatch(r"Error: [^\n]+\n", outcome.err), outcome.err
    return outcome.err[:-1]


RUN = ("run", "--method", "ferd")
(RECORDED,) = map(str, (Path(__file__).parents[2] / "results" / "digits").glob("*/*/ferd/default-seed1-*"))
WRONG_NAMES = {
    "method": (("run", "--method", "frd"), "Unknown method 'frd'. Did you mean 'ferd'"),
    "dataset": ((*RUN, "--dataset", "digit"), "Unknown dataset 'digit'. Did you mean 'digits' or 'digits-tuning'?"),
    "teacher": (
        (*RUN, "--teacher", "digits-wrn"),
        "Unknown teacher 'digits-wrn'. Did you mean 'digits-wrn-10-2' or 'digits-natural-wrn-10-1'?",
    ),
    "student": ((*RUN, "--student", "wrn-10-3"), "Unknown student 'wrn-10-3'. Did you mean 'wrn-10-"),
    "attack": ((*RUN, "--attacks", "clean,pgd2"), "Unknown attack 'pgd2'. Did you mean 'pgd20' or 'pgd20x5'?"),
    "hyper-parameter": ((*RUN, "--set", "gama=1"), "Unknown hyper-parameter of ferd 'gama'. Did you mean 'gamma'"),
    "preset": ((*RUN, "--preset", "papr"), "Unknown preset of digits 'papr'. Did you mean 'paper'?"),
    "command": (("rnu",), "Unknown command 'rnu'. Did you mean 'run'?"),
    "kind": (("list", "method"), "Unknown kind 'method'. Did you mean 'methods'?"),
    "shown-method": (("show", "zsk"), "Unknown method 'zsk'. Did you mean 'zskt'?"),
    "evaluated-teacher": (
        ("evaluate", "--teacher", "checkpont"),
        "Unknown teacher 'checkpont'. Did you mean 'checkpoint'?",
    ),
}
BAD_VALUES = {
    "eps-0": ((*RUN, "--eps", "0"), "the threat model: eps = 0.0 should be greater than 0"),
    "eps-negative": ((*RUN, "--eps", "-0.1"), "eps = -0.1 should be greater than 0"),
    "eps-255": ((*RUN, "--eps", "8"), "eps = 8.0 should be less than or equal to 1"),
    "eps-nan": ((*RUN, "--eps", "nan"), "eps = nan"),
    "step-0": ((*RUN, "--step", "0"), "step = 0.0 should be greater than 0"),
    "epochs-0": ((*RUN, "--epochs", "0"), "Bad value for ferd: epochs = 0 should be greater than or equal to 1"),
    "momentum-2": ((*RUN, "--set", "momentum=2"), "Bad value for ferd: momentum = 2 should be less than 1"),
    "wrong-type": ((*RUN, "--set", "gamma=abc"), "Bad value for ferd: gamma = 'abc' should be a valid number"),
    "no-value": ((*RUN, "--set", "gamma"), "--set takes name=value, not 'gamma'"),
    "unreadable": ((*RUN, "--set", "gamma=[1"), "the value cannot be read"),
    "date": ((*RUN, "--set", "gamma=2020-13-45"), "the value cannot be read"),
    "tagged-number": ((*RUN, "--set", "epochs=!!int x"), "the value cannot be read"),
    "tagged-truth": ((*RUN, "--set", "gamma=!!bool x"), "the value cannot be read"),
    "huge": ((*RUN, "--set", f"epochs=1{400 * '0'}", "--dry-run"), "Bad value for ferd: epochs has more than 32 bits"),
    "huge-hexadecimal": ((*RUN, "--set", f"gamma=0x{9000 * 'f'}"), "Bad value for ferd: gamma has more than 32 bits"),
    "seeds": (("suite", "main", "--dry-run", "--seeds", "0-999999999999"), "A seed must lie in 0 … 4294967295"),
    "many-seeds": (("suite", "main", "--dry-run", "--seeds", "0-999999999"), "at most 1,000 can be made at once"),
    "choice": ((*RUN, "--set", "strategy=hard"), "strategy = 'hard' should be 'softmax'"),
    "infinite": ((*RUN, "--set", "gamma=inf"), "gamma = inf should be a finite number"),
    "seed": ((*RUN, "--seed", "-1"), "The seed must lie in 0 … 4294967295, not -1"),
    "no-attacks": ((*RUN, "--attacks", " , "), "Name at least one attack"),
    "device": ((*RUN, "--device", "gpu"), "Unknown device 'gpu': choose auto, cpu or cuda"),
    "other-device": ((*RUN, "--device", "meta"), "Device 'meta' is not supported"),
    "student-size": ((*RUN, "--student", "wrn:11-1"), "the depth of a WideResNet is 6n + 4"),
    "student-family": ((*RUN, "--student", "wrn"), "its depth and width are missing, as in wrn-16-2 or wrn:16-2"),
    "teacher-family": (("teacher", "train", "--arch", "wrn"), "its depth and width are missing, as in wrn-16-2"),
    "student-argument": ((*RUN, "--student", "wrn:big"), "name depth and width, as in wrn:16-2, not 'big'"),
    "cpu-with-a-number": ((*RUN, "--device", "cpu:0", "--preset", "papr"), "Unknown preset"),  # the device is fine
    "architecture-of-the-shipped-teacher": (
        (*RUN, "--teacher-arch", "wrn-34-10"),
        "Teacher digits-wrn-10-2 has its own architecture: leave --teacher-arch out",
    ),
    "teacher-without-file": ((*RUN, "--teacher", "checkpoint:"), "Name the file: --teacher checkpoint:PATH"),
    "nothing-to-evaluate": (("evaluate",), "Name either a run or weights file, or --teacher NAME"),
    "two-to-evaluate": (("evaluate", "x", "--teacher", "digits-wrn-10-2"), "Name either a run or weights file"),
    "missing-run": (("evaluate", "results/nowhere"), "There is no run or weights file results/nowhere"),
    "missing-results": (("table", "nowhere"), "The results folder nowhere does not exist"),
    "suite-student": (("suite", "main", "--dry-run", "--student", "wrn-10-3"), "Unknown student 'wrn-10-3'"),
    "suite-teacher": (("suite", "main", "--dry-run", "--teacher", "digits-wrn"), "Unknown teacher 'digits-wrn'"),
    "suite-attack": (("suite", "main", "--dry-run", "--attacks", "pgd2"), "Unknown attack 'pgd2'"),
    "suite-jobs": (("suite", "main", "--jobs", "0"), "0 is not in the range x>=1"),
    "suite-gpus": (("suite", "main", "--jobs", "2", "--gpus-per-job", "2"), "2.0 is not in the range 0<x<=1"),
    "suite-launcher": (("suite", "main", "--launcher", "lokal"), "Unknown launcher 'lokal'. Did you mean 'local'?"),
    "dry-run-attack": ((*RUN, "--dry-run", "--attacks", "pgd2"), "Unknown attack 'pgd2'"),
    "verify-nothing": (("verify", "nowhere"), "There is no folder nowhere."),
    "verify-without-rerun": (("verify", RECORDED, "--attacks", "clean"), "give --rerun too"),
    "verify-attack": (("verify", RECORDED, "--rerun", "--attacks", "clean,pgd2"), "Unknown attack 'pgd2'"),
    "verify-one-of-two": (("verify", RECORDED, "nowhere"), "There is no folder nowhere."),
    "teacher-arch-of-a-run": (
        ("evaluate", RECORDED, "--teacher-arch", "x", "--attacks", "clean"),
        "--teacher-arch is the architecture of --teacher checkpoint:PATH",
    ),
    "arch-of-a-teacher": (
        ("evaluate", "--teacher", "digits-wrn-10-2", "--arch", "x"),
        "for a teacher give --teacher-arch",
    ),
    "architecture-of-a-run": (("evaluate", RECORDED, "--arch", "wrn-10-2"), "leave --test-images and --arch out"),
    "dataset-of-a-run": (
        ("evaluate", RECORDED, "--dataset", "cifar10", "--attacks", "clean"),
        "The record is of digits, not of cifar10",
    ),
    "a-record-for-its-folder": (("table", f"{RECORDED}/record.json"), "record.json is a file"),
    "a-record-for-its-run": (("compare", RECORDED, f"{RECORDED}/record.json"), "record.json is a file"),
    "picture-format": (("samples", RECORDED, "--output", "x.txt"), "Unknown picture format 'txt'"),
    "teacher-file": (
        (*RUN, "--teacher", f"{RECORDED}/student.safetensors"),
        f"is a file: write --teacher checkpoint:{RECORDED}/student.safetensors",
    ),
    "robustbench-model": (
        ("suite", "main", "--dataset", "cifar10", "--teacher", "Chen2024Data_WRN_34_10", "--dry-run"),
        "Did you mean 'robustbench:Chen2024Data_WRN_34_10'?",
    ),
}


@pytest.mark.parametrize(("args", "message"), WRONG_NAMES.values(), ids=WRONG_NAMES)
def test_a_wrong_name_gets_the_nearest(elsewhere: Path, args: tuple[str, ...], message: str) -> None:
    assert message in refused(*args)
    assert tiny.files_below(elsewhere) == []


@pytest.mark.parametrize(("args", "message"), BAD_VALUES.values(), ids=BAD_VALUES)
def test_a_bad_value_is_named(elsewhere: Path, args: tuple[str, ...], message: str) -> None:
    assert message in refused(*args)
    assert tiny.files_below(elsewhere) == []


def test_absent_cuda_is_said_with_what_to_use_instead(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("cuda", "cuda:1"):
        assert "CUDA was asked for, but PyTorch finds no CUDA device here: use --device cpu" in refused(
            *FERD, "--device", device
        )
    assert tiny.files_below(elsewhere) == []


@pytest.mark.parametrize("results", ["taken", "taken/below"])
def test_a_file_in_the_way_of_the_results(elsewhere: Path, results: str) -> None:
    (elsewhere / "taken").write_text("precious")
    assert "Cannot write taken/" in refused(*FERD, "--results", results)
    assert tiny.files_below(elsewhere) == ["taken"]
    assert (elsewhere / "taken").read_text() == "precious"


class TestTeacherFile:
    @pytest.fixture
    def weights(self, elsewhere: Path) -> Path:
        path = elsewhere / "t.safetensors"
        write_weights(path, build_network("wrn-10-1", channels=1, num_classes=10, seed=0))
        return path

    def test_truncated(self, weights: Path, elsewhere: Path) -> None:
        weights.write_bytes(weights.read_bytes()[:-100])
        message = refused(*FERD, "--teacher", f"checkpoint:{weights}", "--teacher-arch", "wrn-10-1")
        assert f"{weights} is truncated, corrupt, or no weights file" in message
        assert tiny.files_below(elsewhere) == ["t.safetensors"]

    def test_of_another_architecture(self, weights: Path, elsewhere: Path) -> None:
        message = refused(*FERD, "--teacher", f"checkpoint:{weights}", "--teacher-arch", "wrn-10-2")
        assert f"{weights} does not fit wrn-10-2 for digits: block1.layer.0.convShortcut.weight is missing" in message
        assert tiny.files_below(elsewhere) == ["t.safetensors"]

    def test_without_its_architecture(self, weights: Path, elsewhere: Path) -> None:
        message = refused(*FERD, "--teacher", f"checkpoint:{weights}")
        assert "needs --teacher-arch, a name of `dfrd-bench list students`" in message
        assert "Name the architecture" in refused("evaluate", weights)
        assert tiny.files_below(elsewhere) == ["t.safetensors"]

    def test_missing(self, elsewhere: Path) -> None:
        message = refused(*FERD, "--teacher", "checkpoint:gone.pt", "--teacher-arch", "wrn-10-1")
        assert "There is no weights file gone.pt" in message
        assert tiny.files_below(elsewhere) == []


class TestTeacherOfAnotherKind:
    @pytest.mark.usefixtures("plain_teacher")
    def test_without_batchnorm_is_refused_naming_what_ferd_needs(self) -> None:
        message = refused(*FERD, "--teacher", "plain")
        assert "ferd's L_bn (lambda_bn) needs the running statistics of BatchNorm layers" in message
        assert "SmallConv has none" in message

    @pytest.mark.usefixtures("plain_teacher")
    def test_without_batchnorm_leaves_no_file(self, elsewhere: Path) -> None:
        tiny.command(*FERD, "--teacher", "plain")
        assert tiny.files_below(elsewhere) == []

    def test_an_unknown_layer_is_refused_naming_the_blocks(self) -> None:
        message = refused(*FERD, "--set", "layer=block9")
        assert "WideResNet has no layer 'block9'. Its blocks: conv1, block1, block2, block3" in message

    def test_an_unknown_layer_leaves_no_file(self, elsewhere: Path) -> None:
        tiny.command(*FERD, "--set", "layer=block9")
        assert tiny.files_below(elsewhere) == []

    def test_a_layer_that_is_no_feature_map_is_refused(self) -> None:
        assert "fc" in refused(*FERD, "--set", "layer=fc")


def test_a_seed_beyond_64_bits_is_refused() -> None:
    assert "seed" in refused(*FERD, "--seed", "99999999999999999999")


def test_many_settings_still_make_a_folder(elsewhere: Path, few_digits: None) -> None:
    many = {
        "bottleneck_penalty": "half-mean",
        "bottleneck_ceiling": "batch",
        "bn_models": "both",
        "strategy": "minmax",
        "loss": "dkl",
        "reduction": "mean",
        "conditional": "false",
        "attack_step": 0.05,
        "latent_lr": 0.015,
    }
    outcome = tiny.command("run", "--method", "ferd", "--epochs", "1", *tiny.settings(**many), "--attacks", "clean")
    assert outcome.code == 0


def test_evaluating_under_no_attack_is_refused(elsewhere: Path) -> None:
    path = elsewhere / "w.safetensors"
    write_weights(path, build_network("wrn-10-1", channels=1, num_classes=10, seed=0))
    assert "at least one attack" in refused("evaluate", path, "--arch", "wrn-10-1", "--attacks", "")


@pytest.mark.parametrize(
    "args", [("--attacks", "clean:x"), ("--student", "wrn-10-1:x"), ("--teacher", "digits-wrn-10-2:x")]
)
def test_an_argument_where_none_is_taken_is_refused(few_digits: None, args: tuple[str, str]) -> None:
    assert ":x" in refused(*FERD, "--attacks", "clean", *args)


def test_a_method_without_a_docstring_can_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(ferd.FERD):
        pass

    get = METHODS.get
    monkeypatch.setattr(METHODS, "get", lambda name: Silent if name == "ferd" else get(name))
    assert tiny.command("show", "ferd").code == 0


def test_a_missing_option_is_named() -> None:
    outcome = tiny.command("run")
    assert outcome.code == 2
    assert outcome.err.startswith("Error: Missing option '--method'")
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("args", [("--precision", "fp16"), ("--epochs", "many"), ("--no-such-option",)])
def test_what_click_refuses_exits_with_2_too(elsewhere: Path, args: tuple[str, ...]) -> None:
    outcome = tiny.command(*RUN, *args)
    assert outcome.code == 2
    assert outcome.err.startswith("Error: ")
    assert tiny.files_below(elsewhere) == []


def test_memory_that_runs_out_anywhere_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr("dfrd_bench.runs.rehearsal.rehearse", full)
    outcome = tiny.command(*RUN, "--dry-run", "--quiet")
    assert outcome.code == 2
    assert re.fullmatch(r"Error: Memory ran out\. [^\n]+\n", outcome.err), outcome.err


def test_other_failures_are_a_line_and_keep_their_traceback_for_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("dfrd_bench.runs.rehearsal.rehearse", broken)
    outcome = tiny.command(*RUN, "--dry-run", "--quiet")
    assert (outcome.code, outcome.err) == (1, "Error: RuntimeError: a defect (--debug shows where)\n")
    assert "in broken" in tiny.command(*RUN, "--dry-run", "--quiet", "--debug").err
