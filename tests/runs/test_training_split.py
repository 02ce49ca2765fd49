"""Runs of methods that see the training images: what they leave, whose they are, and what is refused at once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tiny
import torch
from PIL import Image

from dfrd_bench import DfrdBenchError, run
from dfrd_bench.datasets.digits import Digits
from dfrd_bench.images import LabelledImages
from dfrd_bench.observer import Observer
from dfrd_bench.records.store import find_records, load_record
from dfrd_bench.records.weights import write_weights
from dfrd_bench.runs.preparation import prepare
from dfrd_bench.runs.rehearsal import rehearse
from dfrd_bench.runs.request import Request
from dfrd_bench.runs.subject import request_again
from dfrd_bench.runs.training_split import load_training
from dfrd_bench.students.base import build_network

SMALL = {"batch_size": 20, "attack_steps": 2}


def made(method: str, results: Path, **others: Any) -> Path:
    settings = {**SMALL, **others.pop("settings", {})} if method != "natural" else {"batch_size": 20}
    asked = {"epochs": 2, "attacks": ("clean",), "device": "cpu", **others}
    return run(method, "digits", settings=settings, results=results, **asked).folder


@pytest.mark.usefixtures("few_digits")
class TestFinished:
    def test_says_what_it_saw_and_keeps_no_image_of_it(self, tmp_path: Path) -> None:
        folder = made("fair-rslad", tmp_path)
        record = load_record(folder)
        assert record.spec.sees == "training images"
        train = load_training(Digits())
        assert (record.dataset.training_images, record.dataset.training_digest) == (tiny.FEW, train.digest())
        assert {p.name for p in folder.iterdir()} == {
            *("record.json", "predictions.npz", "history.jsonl", "student.safetensors")
        }
        assert record.training is not None
        assert record.training.passes is not None
        assert record.training.passes.student_steps == 2 * 3  # epochs × batches of 20
        assert record.training.passes.teacher_forward == 2 * tiny.FEW
        assert record.training.passes.student_forward == 2 * tiny.FEW * (2 + 2)  # two attack steps, two for the loss
        assert record.training.passes.student_backward == record.training.passes.student_forward

    def test_without_a_teacher_names_none_and_asked_none(self, tmp_path: Path) -> None:
        folder = made("trades", tmp_path, teacher="checkpoint:of-the-whole-suite.pt")
        record = load_record(folder)
        assert folder.relative_to(tmp_path).parts[:4] == ("digits", "none", "wrn-10-1", "trades")
        assert record.spec.teacher.name == "none"
        assert record.training is not None
        assert record.training.passes is not None
        assert record.training.passes.teacher_forward == 0
        again, unknown = request_again(record)
        assert again.teacher is None
        assert unknown == []
        assert prepare(again).spec.digest() == record.spec.digest()

    def test_a_data_free_run_has_a_record_without_any_of_it(self, tmp_path: Path) -> None:
        small = {"batch_size": 8, "distillation_steps": 2, "attack_steps": 2}
        folder = run("zskt", "digits", settings=small, epochs=1, attacks=("clean",), results=tmp_path).folder
        text = json.loads((folder / "record.json").read_text())
        assert "sees" not in text["spec"]
        assert text["dataset"].keys() == {"info", "test_images", "test_digest"}

    def test_on_other_training_images_is_not_taken_for_this_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made("natural", tmp_path)
        load = Digits.load

        def changed(self: Digits, split: Literal["train", "test"]) -> LabelledImages:
            images = load(self, split)
            return LabelledImages(1 - images.images, images.labels) if split == "train" else images

        monkeypatch.setattr(Digits, "load", changed)
        with pytest.raises(DfrdBenchError, match=r"was trained on other training images \(digest"):
            made("natural", tmp_path)


class TestRehearsal:
    def test_trains_on_a_few_batches_and_counts_all(self) -> None:
        prepared = prepare(Request("trades", device="cpu", settings={"batch_size": 64, "attack_steps": 1}))
        told: list[tuple[str, int, int]] = []
        cost = rehearse(prepared, lambda *at: told.append(at))
        assert {total for _, _, total in told} == {3}
        assert cost.stages["distill"].steps == 15  # 897 images

    def test_of_few_images_is_the_whole_epoch(self, few_digits: None) -> None:
        prepared = prepare(Request("natural", device="cpu", settings={"batch_size": 30}))
        assert rehearse(prepared).stages["distill"].steps == 2


class TestRefused:
    @pytest.fixture
    def birds(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        for number, place in enumerate(("train/auk", "train/heron", "test/auk", "test/heron")):
            (tmp_path / "birds" / place).mkdir(parents=True)
            Image.fromarray(np.full((8, 8), 60 * number, np.uint8)).save(tmp_path / "birds" / place / "0.png")
        write_weights(Path("t.safetensors"), build_network("wrn-10-1", channels=1, num_classes=2, seed=0))
        return tmp_path / "birds"

    def refused(self, *words: str | Path) -> str:
        outcome = tiny.command(*words, "--quiet")
        assert outcome.code == 2, outcome.out
        assert len(outcome.err.strip().splitlines()) == 1
        assert not Path("results").exists()
        return outcome.err

    @pytest.mark.parametrize("dry", [(), ("--dry-run",)])
    @pytest.mark.parametrize("method", ["natural", "rslad"])
    def test_a_folder_without_training_images(self, method: str, dry: tuple[str, ...], birds: Path) -> None:
        shutil.rmtree(birds / "train")
        options = ("--teacher", "checkpoint:t.safetensors", "--teacher-arch", "wrn-10-1", "--student", "wrn-10-1")
        message = self.refused("run", "--method", method, "--dataset", f"imagefolder:{birds}", *options, *dry)
        assert f"{birds} has no folder train/" in message

    def test_before_the_first_run_of_a_suite(self, birds: Path) -> None:
        shutil.rmtree(birds / "train")
        options = ("--teacher", "checkpoint:t.safetensors", "--teacher-arch", "wrn-10-1", "--student", "wrn-10-1")
        assert "has no folder train/" in self.refused(
            "suite", "fair-ard", "--dataset", f"imagefolder:{birds}", *options, "--natural-teacher", "run:n"
        )

    @pytest.mark.parametrize("dry", [(), ("--dry-run",)])
    def test_a_class_without_training_images(
        self, dry: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        load = Digits.load

        def without_threes(self: Digits, split: Literal["train", "test"]) -> LabelledImages:
            images = load(self, split)
            kept = images.labels != 3
            return LabelledImages(images.images[kept], images.labels[kept])

        monkeypatch.setattr(Digits, "load", without_threes)
        message = self.refused("run", "--method", "fair-ard", *dry)
        assert "The training split of digits has no image of the class '3'" in message

    @pytest.mark.parametrize("dry", [(), ("--dry-run",)])
    @pytest.mark.parametrize("method", ["frl-ard", "cfa-ard"])
    def test_a_class_of_which_none_can_be_held_out(self, method: str, dry: tuple[str, ...], birds: Path) -> None:
        options = ("--teacher", "checkpoint:t.safetensors", "--teacher-arch", "wrn-10-1", "--student", "wrn-10-1")
        message = self.refused("run", "--method", method, "--dataset", f"imagefolder:{birds}", *options, *dry)
        assert "has 1 image of the class 'auk'" in message
        assert "out for validation: it needs 2" in message

    def test_a_data_free_method_does_not_miss_them(self, birds: Path) -> None:
        shutil.rmtree(birds / "train")
        request = Request(
            "zskt",
            dataset=f"imagefolder:{birds}",
            teacher="checkpoint:t.safetensors",
            teacher_arch="wrn-10-1",
            student="wrn-10-1",
        )
        assert prepare(request).training_digest is None


def test_training_images_come_as_uint8_whatever_the_dataset_has() -> None:
    train, given = Digits().load("train"), load_training(Digits())
    assert given.images.dtype == torch.uint8
    assert (given.images.double() - 255 * train.images.double()).abs().max() <= 0.5
    assert torch.equal(given.labels, train.labels)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("fair-iad", {}),
        ("frl-ard", {"rate": 1.0, "margin_rate": 0.2, "validation_steps": 2}),
        ("cfa-ard", {"begin": 0, "threshold": 0, "validation_steps": 2}),
        ("dafa", {"warmup": 0.25}),
    ],
)
def test_a_stop_in_the_middle_changes_nothing(
    method: str, settings: dict[str, Any], tmp_path: Path, few_digits: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of what methods carry from epoch to epoch: stopped in the third of four epochs, after two were saved."""

    def after_the_third(epoch: int, numbers: dict[str, float]) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("dfrd_bench.runs.epochs.CHECKPOINT_SHARE", 1e9)
    whole = made(method, tmp_path / "whole", epochs=4, settings=settings)
    with pytest.raises(KeyboardInterrupt):
        made(method, tmp_path / "stopped", epochs=4, settings=settings, observer=Observer(on_epoch=after_the_third))
    made(method, tmp_path / "stopped", epochs=4, settings=settings)
    ((there, record),) = find_records(tmp_path / "stopped")
    assert not isinstance(record, Exception)
    assert record.weights_sha256 == load_record(whole).weights_sha256
    assert [json.loads(line)["epoch"] for line in (there / "history.jsonl").read_text().splitlines()] == [0, 1, 2, 3]
