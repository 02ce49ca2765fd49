"""The second teacher of methods that need one: where it comes from, what a record says of it, and what is refused at once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from dfrd_bench import DfrdBenchError, run
from dfrd_bench.problem import TrainingProblem
from dfrd_bench.records.schema import ExperimentSpec, TeacherRecord
from dfrd_bench.records.store import find_records, load_record
from dfrd_bench.records.weights import sha256_of, write_weights
from dfrd_bench.runs.forecast import describe
from dfrd_bench.runs.preparation import prepare
from dfrd_bench.runs.rehearsal import Cost
from dfrd_bench.runs.request import Request
from dfrd_bench.runs.subject import request_again
from dfrd_bench.students.base import build_network

OWN = "digits-natural-wrn-10-1"
RUN = ("run", "--method", "mtard")


def made(method: str, results: Path, **others: Any) -> Path:
    settings = {"batch_size": 20} if method == "natural" else {"batch_size": 20, "attack_steps": 1}
    asked = {"epochs": 1, "attacks": ("clean",), "device": "cpu", "settings": settings, **others}
    return run(method, "digits", results=results, **asked).folder


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return_to = tmp_path / "n.safetensors"
    write_weights(return_to, build_network("resnet-18", channels=1, num_classes=10, seed=3))
    return return_to


class TestWhereItComesFrom:
    def test_digits_has_its_own_which_is_accurate_and_not_robust(self) -> None:
        prepared = prepare(Request("mtard", device="cpu"))
        assert prepared.spec.natural_teacher is not None
        assert prepared.spec.natural_teacher.name == OWN
        assert isinstance(prepared.problem, TrainingProblem)
        teacher = prepared.problem.natural_teacher
        assert teacher is not None
        assert not teacher.training
        assert not any(p.requires_grad for p in teacher.parameters())
        images = prepared.dataset.load("test")
        with torch.no_grad():
            assert (teacher(images.images).argmax(dim=1) == images.labels).float().mean() > 0.98

    def test_a_weights_file_with_its_architecture(self, network: Path) -> None:
        for name in (str(network), f"checkpoint:{network}"):
            spec = prepare(Request("mtard", natural_teacher=name, natural_teacher_arch="resnet-18")).spec
            assert spec.natural_teacher == TeacherRecord(
                name="checkpoint:n.safetensors", architecture="resnet-18", sha256=sha256_of(network)
            )

    def test_the_folder_of_a_run(self, tmp_path: Path, few_digits: None) -> None:
        folder = made("natural", tmp_path)
        for name in (str(folder), f"{folder}/", f"run:{folder}"):
            spec = prepare(Request("mtard", natural_teacher=name)).spec
            assert spec.natural_teacher == TeacherRecord(
                name=f"run:{folder.name}", architecture="wrn-10-1", sha256=load_record(folder).weights_sha256
            )
        assert prepare(Request("rslad", teacher=f"run:{folder}")).spec.teacher == spec.natural_teacher

    def test_nobody_else_is_given_one(self) -> None:
        prepared = prepare(Request("rslad", natural_teacher="of the whole suite"))
        assert prepared.spec.natural_teacher is None
        assert isinstance(prepared.problem, TrainingProblem)
        assert prepared.problem.natural_teacher is None


class TestRecord:
    def test_names_it_and_makes_the_run_again(self, tmp_path: Path, few_digits: None) -> None:
        folder = made("mtard", tmp_path)
        record = load_record(folder)
        assert record.spec.natural_teacher is not None
        assert record.spec.natural_teacher.name == OWN
        again, unknown = request_again(record)
        assert unknown == []
        assert again.natural_teacher == OWN
        assert prepare(again).spec.digest() == record.spec.digest()
        assert made("mtard", tmp_path) == folder
        assert len(list(find_records(tmp_path))) == 1

    def test_of_another_natural_teacher_is_another_run_and_another_row(
        self, tmp_path: Path, few_digits: None, network: Path
    ) -> None:
        one = made("mtard", tmp_path)
        other = made("mtard", tmp_path, natural_teacher=str(network), natural_teacher_arch="resnet-18", seed=1)
        assert one != other
        again, unknown = request_again(load_record(other))
        assert unknown == [f"natural_teacher: say where it is; its sha256 is {sha256_of(network)}."]
        assert again.natural_teacher_arch == "resnet-18"
        outcome = tiny.command("table", tmp_path)
        for folder in (one, other):
            natural = load_record(folder).spec.natural_teacher
            assert natural is not None
            assert f"natural_teacher={natural.sha256[:8]})" in outcome.out

    def test_of_any_other_method_has_the_bytes_and_the_hash_it_had(self) -> None:
        """The hash of the run that README's table begins with."""
        path = next(Path("results/digits").rglob("ferd/default-seed1-*/record.json"))
        spec = json.loads(path.read_text())["spec"]
        read = ExperimentSpec.model_validate(spec)
        assert "natural_teacher" not in read.model_dump(mode="json")
        assert json.loads(read.model_dump_json()).keys() == spec.keys() | {"compiled"}
        assert path.parent.name.endswith(read.digest())

    def test_a_rehearsal_shows_it(self) -> None:
        lines = describe(prepare(Request("mtard", device="cpu")), Cost({}, 1, 0, 0))
        assert lines["natural teacher"] == f"{OWN} (wrn-10-1), 77,562 parameters"
        assert "natural teacher" not in describe(prepare(Request("rslad", device="cpu")), Cost({}, 1, 0, 0))


class TestRefused:
    def refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> str:
        monkeypatch.chdir(tmp_path)
        outcome = tiny.command(*words, "--quiet")
        assert outcome.code == 2, outcome.out
        assert len(outcome.err.strip().splitlines()) == 1
        assert not Path("results").exists()
        return outcome.err

    @pytest.mark.parametrize("dry", [(), ("--dry-run",)])
    def test_the_robust_one_over_again(
        self, dry: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        message = self.refused(tmp_path, monkeypatch, *RUN, "--natural-teacher", "digits-wrn-10-2", *dry)
        assert "The natural teacher digits-wrn-10-2 has the weights of the robust one" in message

    def test_a_copy_of_the_robust_one_by_another_name(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        source = Path("dfrd_bench/teachers/weights/digits-wrn-10-2.safetensors").resolve()
        shutil.copy(source, tmp_path / "other.safetensors")
        words = ("--natural-teacher", "other.safetensors", "--natural-teacher-arch", "wrn-10-2")
        assert "has the weights of the robust one" in self.refused(tmp_path, monkeypatch, *RUN, *words)

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (("--dataset", "cifar10"), "mtard has two teachers, and cifar10 has no natural one of its own: train one"),
            (("--natural-teacher", "nobody"), "Unknown teacher 'nobody'"),
            (("--natural-teacher", "run:"), "Name the folder of a finished run"),
            (("--natural-teacher", "run:nowhere"), "nowhere is not the folder of a finished run"),
            (("--natural-teacher", "checkpoint:nowhere.pt"), "needs --natural-teacher-arch"),
            (("--natural-teacher-arch", "wrn-10-1"), "leave --natural-teacher-arch out"),
        ],
    )
    def test_one_that_is_missing(
        self, words: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert message in self.refused(tmp_path, monkeypatch, *RUN, *words)

    def test_before_the_first_run_of_a_suite(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for dry in ((), ("--dry-run",)):
            message = self.refused(tmp_path, monkeypatch, "suite", "fair-ard", "--dataset", "svhn", *TEACHER, *dry)
            assert "mtard has two teachers, and svhn has no natural one" in message

    def test_a_run_on_another_dataset_or_with_other_weights(self, tmp_path: Path, few_digits: None) -> None:
        folder = made("natural", tmp_path)
        with pytest.raises(DfrdBenchError, match="was trained on digits, not on svhn"):
            prepare(Request("ard", "svhn", teacher=f"run:{folder}"))
        write_weights(folder / "student.safetensors", build_network("wrn-10-1", channels=1, num_classes=10, seed=9))
        with pytest.raises(DfrdBenchError, match=r"is not the network that its record.json describes"):
            prepare(Request("mtard", natural_teacher=str(folder)))


TEACHER = ("--teacher", "checkpoint:t.pt", "--teacher-arch", "wrn-10-1")
