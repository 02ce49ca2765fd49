"""RobustBench teachers without a network: files where a download would land, pages in their place, names and lists."""

from __future__ import annotations

import hashlib
import io
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import gdown
import pytest
import tiny
import torch
from torch import Tensor, nn

from dfrd_bench.datasets.base import open_dataset
from dfrd_bench.distillation.batchnorm import BatchNormStatistics
from dfrd_bench.distillation.split import SplitTeacher
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.problem import DatasetInfo, Precision, ThreatModel
from dfrd_bench.records.schema import ExperimentSpec, Record
from dfrd_bench.runs.subject import recorded_network
from dfrd_bench.teachers.base import Teacher, load_teacher, teacher_source
from dfrd_bench.teachers.robustbench_files import models_folder
from dfrd_bench.teachers.robustbench_import import robustbench
from dfrd_bench.teachers.robustbench_zoo import zoo

PAGE = b"\n<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head></html>"
WRN = "Chen2024Data_WRN_34_10"
SMALL = "Sehwag2021Proxy_R18"
State = dict[str, Tensor]


def info(dataset: str) -> DatasetInfo:
    classes = {"cifar10": 10, "cifar100": 100}[dataset]
    return DatasetInfo(name=dataset, shape=(3, 32, 32), class_names=tuple(map(str, range(classes))))


def load(name: str, dataset: str = "cifar10") -> Teacher:
    return load_teacher(f"robustbench:{name}", info(dataset), architecture=None, device=tiny.CPU, precision=Precision())


def refused(name: str, dataset: str = "cifar10") -> str:
    with pytest.raises(DfrdBenchError) as caught:
        load(name, dataset)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of models, and no network."""

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("the network was used")

    monkeypatch.setenv("DFRD_BENCH_MODELS", str(tmp_path))
    monkeypatch.setattr(socket, "create_connection", unreachable)
    monkeypatch.setattr(socket.socket, "connect", unreachable)
    return tmp_path


@pytest.fixture
def drive(models: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], list[str]]:
    """Let Google Drive send these bytes, and note which ids were asked for."""

    def sends(content: bytes) -> list[str]:
        asked: list[str] = []

        def download(*, id: str, output: str, quiet: bool) -> str:
            asked.append(id)
            Path(output).write_bytes(content)
            return output

        monkeypatch.setattr(gdown, "download", download)
        return asked

    return sends


def weights_file(content: object) -> bytes:
    """What `torch.save` makes of something."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def network(name: str, dataset: str = "cifar10") -> nn.Module:
    """The zoo's own object, with random weights and BatchNorm statistics."""
    zoo_of = {dataset_.value: models for dataset_, models in robustbench("model_zoo").model_dicts.items()}
    linf = {threat.value: models for threat, models in zoo_of[dataset].items()}["Linf"]
    model: nn.Module = linf[name]["model"]()
    generator = torch.Generator().manual_seed(0)
    for key, value in model.state_dict().items():
        if key.endswith(("running_mean", "running_var")):
            value.copy_(0.5 + torch.rand(value.shape, generator=generator))
    return model.eval()


WRAPPINGS: dict[str, tuple[str, str, str, Callable[[State], object]]] = {
    WRN: ("cifar10", "WideResNet-34-10", "block3", lambda state: {"state_dict": state, "epoch": 3}),
    SMALL: ("cifar10", "ResNet18", "layer4", lambda state: {f"module.{k}": v for k, v in state.items()}),
    "Andriushchenko2020Understanding": ("cifar10", "PreActResNet", "layer4", lambda state: {"last": state, "best": {}}),
    "Rade2021Helper_R18_ddpm": ("cifar10", "DMPreActResNet-18", "layer_3", lambda state: state),
    # WideResNet(sub_block1=True): a block, with BatchNorm, that no pass reaches
    "Carmon2019Unlabeled": ("cifar10", "WideResNet-28-10", "block3", lambda state: state),
    "Ding2020MMA": ("cifar10", "Ding2020MMANet", "block3", lambda state: {"state_dict": state}),
    "Addepalli2021Towards_PARN18": (
        "cifar100",
        "PreActResNet",
        "layer4",
        lambda state: {"state_dict": {f"module.model.{k}": v for k, v in state.items()}},
    ),
}


@pytest.mark.parametrize("name", WRAPPINGS)
def test_a_file_that_is_there_loads_without_a_network(models: Path, name: str) -> None:
    dataset, architecture, last, wrap = WRAPPINGS[name]
    theirs = network(name, dataset)
    path = models / dataset / "Linf" / f"{name}.pt"
    path.parent.mkdir(parents=True)
    torch.save(wrap(theirs.state_dict()), path)
    random_state = torch.get_rng_state()
    teacher = load(name, dataset)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert teacher.record.name == f"robustbench:{name}"
    assert teacher.record.architecture == architecture
    assert teacher.record.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not teacher.model.training
    assert not any(p.requires_grad for p in teacher.model.parameters())

    x = tiny.random_images(1 if "WideResNet" in architecture else 2, (3, 32, 32)).requires_grad_()
    split, statistics = SplitTeacher(teacher.model), BatchNormStatistics(teacher.model, "this test")
    with split.record(), statistics.record():
        logits = teacher.model(x)
    torch.testing.assert_close(logits, theirs(x), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(split.head(split.features), logits, rtol=1e-4, atol=1e-4)
    assert split.layer == last
    (gradient,) = torch.autograd.grad(statistics.distance() + logits.square().sum(), x)
    assert gradient.isfinite().all()
    assert gradient.abs().max() > 0


class TestDownload:
    def test_lands_where_robustbench_keeps_it_and_happens_once(
        self, models: Path, drive: Callable[[bytes], list[str]], tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        source = tmp_path_factory.mktemp("drive") / "w.pt"
        torch.save(network(SMALL).state_dict(), source)
        asked = drive(source.read_bytes())
        first, again = load(SMALL), load(SMALL)
        assert asked == [robustbench_id(SMALL)]
        assert tiny.files_below(models) == [f"cifar10/Linf/{SMALL}.pt"]
        assert first.record == again.record
        assert tiny.same(first.model, again.model)

    def test_a_page_in_its_place_is_not_kept_and_the_way_by_hand_is_shown(
        self, models: Path, drive: Callable[[bytes], list[str]]
    ) -> None:
        drive(PAGE)
        message = refused(WRN)
        assert f"What Google Drive sent for {WRN}.pt is a web page, not weights, and has been removed" in message
        assert f"https://drive.google.com/uc?id={robustbench_id(WRN)} as {models}/cifar10/Linf/{WRN}.pt" in message
        assert tiny.files_below(models) == []

    def test_a_page_left_by_another_program_is_removed(self, models: Path) -> None:
        path = models / "cifar10" / "Linf" / f"{WRN}.pt"
        path.parent.mkdir(parents=True)
        path.write_bytes(PAGE)
        assert f"as {path}" in refused(WRN)
        assert not path.exists()

    def test_without_a_network_says_where_to_put_the_file(self, models: Path) -> None:
        message = refused(WRN)
        assert message.startswith(f"Cannot download {WRN}.pt: ")
        assert f"By hand: save https://drive.google.com/uc?id={robustbench_id(WRN)} as " in message
        assert message.endswith(f"{models}/cifar10/Linf/{WRN}.pt")
        assert tiny.files_below(models) == []

    def test_an_ensemble_has_several_files(self, models: Path, drive: Callable[[bytes], list[str]]) -> None:
        asked = drive(weights_file({"a": torch.ones(10)}))
        message = refused("Chen2020Adversarial")
        assert len(asked) == 3
        assert tiny.files_below(models) == [f"cifar10/Linf/Chen2020Adversarial.pt_m{n}.pt" for n in range(3)]
        assert message.startswith("RobustBench cannot load Chen2020Adversarial: ")

    def test_a_part_of_a_file_is_not_kept(self, models: Path, drive: Callable[[bytes], list[str]]) -> None:
        drive(weights_file({"a": torch.ones(1000)})[:700])
        message = refused(SMALL)
        assert f"What Google Drive sent for {SMALL}.pt is not all of it, or no weights, and has been removed" in message
        assert f"as {models}/cifar10/Linf/{SMALL}.pt" in message
        assert tiny.files_below(models) == []

    def test_the_folder_is_robustbenchs_layout_in_the_users_cache(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.delenv("DFRD_BENCH_MODELS", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert models_folder() == tmp_path / "dfrd-bench" / "models"


class TestBadFiles:
    @staticmethod
    def put(models: Path, content: object) -> Path:
        path = models / "cifar10" / "Linf" / f"{SMALL}.pt"
        path.parent.mkdir(parents=True)
        torch.save(content, path)
        return path

    def test_truncated(self, models: Path) -> None:
        path = self.put(models, {"a": torch.ones(1000)})
        path.write_bytes(path.read_bytes()[:700])
        message = refused(SMALL)
        assert f"{path} is truncated, corrupt, or no weights file" in message
        assert message.endswith(f"uc?id={robustbench_id(SMALL)} as {path}")
        assert path.exists()

    def test_code_in_a_file_is_not_executed(self, models: Path) -> None:
        marker = models / "executed"

        class Evil:
            def __reduce__(self) -> tuple[object, tuple[str]]:
                return (exec, (f"open({str(marker)!r}, 'w').close()",))

        self.put(models, {"state_dict": Evil()})
        assert re.search(r"holds an object of \S*exec, which is not read", refused(SMALL))
        assert not marker.exists()

    def test_weights_of_another_architecture_are_refused_naming_what_is_missing(self, models: Path) -> None:
        self.put(models, tiny.wide_resnet(3, 10).state_dict())
        message = refused(SMALL)
        assert message.startswith(f"RobustBench cannot load {SMALL}: RuntimeError: ")
        assert '"bn1.weight"' in message or '"layer1.0.conv1.weight"' in message


def robustbench_id(name: str) -> str:
    """The Google Drive id in RobustBench's own, imported zoo."""
    for dataset, models in robustbench("model_zoo").model_dicts.items():
        if dataset.value == "cifar10":
            return {threat.value: zoo for threat, zoo in models.items()}["Linf"][name]["gdrive_id"]
    raise AssertionError


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
def test_the_names_read_from_the_source_are_those_of_the_imported_zoo(dataset: str) -> None:
    imported = {d.value: m for d, m in robustbench("model_zoo").model_dicts.items()}[dataset]
    linf = {threat.value: models for threat, models in imported.items()}["Linf"]
    expected = {name: model["gdrive_id"] for name, model in linf.items() if model["gdrive_id"]}
    found = {name: model.drive_ids for name, model in zoo(dataset).items()}
    assert list(found) == list(expected)
    assert found == {n: (ids,) if isinstance(ids, str) else tuple(ids) for n, ids in expected.items()}


class TestNames:
    @pytest.mark.usefixtures("models")
    def test_a_wrong_name_gets_the_nearest(self) -> None:
        assert f"Unknown RobustBench L∞ model for cifar10 '{WRN.lower()}'. Did you mean '{WRN}'" in refused(WRN.lower())

    @pytest.mark.usefixtures("models")
    def test_a_name_near_nothing_gets_the_command_that_lists(self) -> None:
        assert refused("xyz", "cifar100").endswith("`dfrd-bench list teachers --dataset cifar100` shows them.")

    @pytest.mark.usefixtures("models")
    def test_a_model_for_another_dataset_is_unknown(self) -> None:
        assert "Unknown RobustBench L∞ model for cifar100" in refused(SMALL, "cifar100")

    @pytest.mark.usefixtures("models")
    def test_a_transformer_without_a_file_is_refused(self) -> None:
        assert "transformer that RobustBench takes from timm" in refused("Debenedetti2022Light_XCiT-S12")

    @pytest.mark.parametrize("name", [WRN, WRN.lower(), WRN[:-1]])
    def test_a_model_without_its_source_is_named_in_full_and_for_which_dataset(self, name: str) -> None:
        for dataset, more in (("cifar10", ""), ("digits", " It is for --dataset cifar10.")):
            with pytest.raises(DfrdBenchError) as error:
                teacher_source(name, dataset)
            assert str(error.value) == f"Unknown teacher {name!r}. Did you mean 'robustbench:{WRN}'?{more}"

    def test_another_dataset_is_refused(self) -> None:
        outcome = tiny.command("run", "--method", "ferd", "--dataset", "digits", "--teacher", f"robustbench:{WRN}")
        assert outcome.code == 2
        assert outcome.err == "Error: RobustBench has teachers for cifar10 and cifar100, not for digits.\n"

    def test_an_architecture_of_ones_own_is_refused(self) -> None:
        with pytest.raises(DfrdBenchError, match="leave --teacher-arch out"):
            load_teacher(
                f"robustbench:{WRN}", info("cifar10"), architecture="x", device=tiny.CPU, precision=Precision()
            )


class TestList:
    def test_names_every_model_without_importing_anything_heavy(self) -> None:
        script = """
import sys
from dfrd_bench.cli.main import main
try:
    main(["list", "teachers", "--dataset", "cifar10", "--json"])
finally:
    loaded = [name for name in ("torch", "robustbench", "timm", "gdown") if name in sys.modules]
    assert not loaded, loaded
"""
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        shown = {row["name"]: row["summary"] for row in json.loads(done.stdout)}
        assert shown[f"robustbench:{WRN}"] == "WideResNet-34-10"
        assert {f"robustbench:{name}" for name in zoo("cifar10")} | {"checkpoint", "run"} == set(shown)

    def test_another_dataset_has_its_own(self) -> None:
        outcome = tiny.command("list", "teachers", "--dataset", "digits")
        assert "digits-wrn-10-2" in outcome.out
        assert "robustbench" not in outcome.out

    def test_an_unknown_dataset_is_refused(self) -> None:
        outcome = tiny.command("list", "teachers", "--dataset", "digitz")
        assert outcome.code == 2
        assert "Did you mean 'digits'" in outcome.err

    def test_only_teachers_depend_on_a_dataset(self) -> None:
        assert tiny.command("list", "methods", "--dataset", "digits").code == 2


def test_a_teacher_that_cannot_be_cut_gets_the_error_that_says_so() -> None:
    """Dai2021Parameterizing's class, smaller: its activation's parameter is used on both sides of every cut."""
    architectures = robustbench("model_zoo.architectures.paf_wide_resnet")
    model = architectures.PAF_WideResNet(num_classes=10, depth=10, widen_factor=1, activation=architectures.PSSiLU())
    with pytest.raises(DfrdBenchError, match="PAF_WideResNet cannot be split at 'block3'"):
        SplitTeacher(model.eval())


def test_importing_says_what_is_missing_and_leaves_no_alias_and_no_warning_behind() -> None:
    script = """
import sys, warnings
warnings.simplefilter("error", DeprecationWarning)
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.teachers.robustbench_import import robustbench
sys.modules["pkg_resources"] = None
try:
    robustbench("utils")
except DfrdBenchError as error:
    print(error)
del sys.modules["pkg_resources"]
assert robustbench("utils").load_model
assert "autoattack" not in sys.modules and "autoattack.state" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert 'it needs pkg_resources, which setuptools 82 removed: pip install "setuptools<81"' in done.stdout


def test_a_recorded_teacher_is_found_again_without_its_architecture(
    models: Path, drive: Callable[[bytes], list[str]]
) -> None:
    drive(weights_file(network(SMALL).state_dict()))
    first = load(SMALL)
    spec = ExperimentSpec(
        kind="teacher",
        method="teacher",
        provider="",
        config={},
        dataset="cifar10",
        teacher=first.record,
        student=first.record.architecture,
        threat=ThreatModel(eps=8 / 255, step=2 / 255),
        precision="fp32",
        seed=0,
    )
    record = Record.model_construct(spec=spec, training=None, weights_sha256=first.record.sha256)
    assert tiny.same(recorded_network(models, record, open_dataset("cifar10").info), first.model)
