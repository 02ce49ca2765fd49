"""A user's folder of images: what is in it is what is tested on, and whatever is wrong with it is said in one line."""

from __future__ import annotations

import json
import re
import shlex
import signal
from pathlib import Path

import numpy as np
import pictures
import pytest
import tiny
import torch
from PIL import Image

from dfrd_bench.datasets.base import open_dataset
from dfrd_bench.datasets.imagefolder import ImageFolder
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.store import load_record
from dfrd_bench.records.weights import write_weights
from dfrd_bench.students.base import build_network

TRAIN = (
    *("teacher", "train", "--arch", "wrn-10-1", "--epochs", "1"),
    *("--set", "attack_steps=1", "--set", "batch_size=3"),
)


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    pictures.folder(tmp_path / "birds")
    return tmp_path / "birds"


@pytest.mark.parametrize("channels", [1, 3])
def test_the_pixels_are_those_of_the_files_by_class_and_by_file_name(tmp_path: Path, channels: int) -> None:
    written = pictures.folder(tmp_path, {"heron": 2, "auk": 3}, channels=channels, size=(5, 7))
    dataset = ImageFolder(str(tmp_path))
    assert dataset.info.class_names == ("auk", "heron")
    assert dataset.info.shape == (channels, 5, 7)
    for split in ("train", "test"):
        loaded = dataset.load(split)
        assert loaded.images.dtype == torch.uint8
        assert loaded.labels.tolist() == [0, 0, 0, 1, 1]
        expected = np.stack(written[split]["auk"] + written[split]["heron"])
        ours = loaded.images.permute(0, 2, 3, 1).numpy()  # [N, C, H, W] -> [N, H, W, C]
        assert np.array_equal(ours.reshape(expected.shape), expected)
        assert torch.equal(loaded.floats(), loaded.images / 255)


def test_a_jpeg_is_decoded_as_pillow_does(tmp_path: Path) -> None:
    pictures.folder(tmp_path, channels=3)
    path = tmp_path / "test" / "auk" / "000.JPG"
    pictures.write(path, pictures.pixels(99, channels=3))
    (tmp_path / "test" / "auk" / "000.png").unlink()
    first = ImageFolder(str(tmp_path)).load("test").images[0].permute(1, 2, 0).numpy()
    assert np.array_equal(first, np.asarray(Image.open(path)))


def test_the_name_is_the_folders_and_holds_no_path(birds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_dataset(f"imagefolder:{birds}/").name == "imagefolder-birds"
    monkeypatch.chdir(birds)
    assert open_dataset("imagefolder:.").name == "imagefolder-birds"


def test_other_files_are_left_alone_and_said_hidden_ones_are_only_left_alone(
    birds: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (birds / "test" / "auk" / "notes.txt").write_text("nothing to see")
    (birds / "test" / "auk" / "._000.png").write_bytes(b"what macOS leaves")
    (birds / "test" / ".cache").mkdir()
    (birds / "README").write_text("about")
    assert len(ImageFolder(str(birds)).load("test")) == 6
    (said,) = caplog.messages
    assert said.startswith(f"Not taken from {birds / 'test'}: 1 that end in none of .bmp, ")
    assert said.endswith("e.g. auk/notes.txt.")
    caplog.clear()
    (birds / "test" / "auk" / "notes.txt").unlink()
    ImageFolder(str(birds)).load("test")
    assert not caplog.messages


def test_progress_reaches_the_number_of_images(birds: Path) -> None:
    told: list[tuple[str, int, int]] = []
    dataset = ImageFolder(str(birds))
    dataset.progress = lambda *now: told.append(now)
    dataset.load("test")
    assert told[0] == ("reading test", 0, 6)
    assert told[-1] == ("reading test", 6, 6)


def test_a_folder_without_training_images_can_be_tested_on(birds: Path) -> None:
    for path in sorted((birds / "train").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (birds / "train").rmdir()
    dataset = ImageFolder(str(birds))
    assert len(dataset.load("test")) == 6
    with pytest.raises(DfrdBenchError, match=r"has no folder train/"):
        dataset.load("train")


class TestSubset:
    def test_it_is_the_first_of_each_class_in_the_order_of_the_whole(self, birds: Path) -> None:
        whole = ImageFolder(str(birds)).load("test")
        part = open_dataset(f"imagefolder:{birds}", test_images=4)
        assert part.name == "imagefolder-birds-first4"
        assert part.info.name == "imagefolder-birds"
        loaded = part.load_tested()
        assert loaded.labels.tolist() == [0, 0, 1, 1]
        assert torch.equal(loaded.images, whole.images[[0, 1, 3, 4]])
        assert len(part.load("train")) == 6

    def test_mixed_labels_keep_their_order(self) -> None:
        whole = open_dataset("digits").load("test")
        part = open_dataset("digits", test_images=30).load_tested()
        seen = dict.fromkeys(range(10), 0)
        expected = []
        for position, label in enumerate(whole.labels.tolist()):
            seen[label] += 1
            if seen[label] <= 3:
                expected.append(position)
        assert torch.equal(part.images, whole.images[expected])
        assert torch.equal(part.labels, whole.labels[expected])

    @pytest.mark.parametrize(
        ("count", "message"),
        [
            (3, "a multiple of 2, not 3"),
            (0, "a multiple of 2, not 0"),
            (-2, "a multiple of 2, not -2"),
            (6, "has just 6 test images: leave --test-images out"),
            (100, "has just 6 test images"),
        ],
    )
    def test_a_count_that_cannot_be_is_refused(self, birds: Path, count: int, message: str) -> None:
        with pytest.raises(DfrdBenchError, match=message):
            open_dataset(f"imagefolder:{birds}", test_images=count).load_tested()

    def test_a_class_with_too_few_is_named(self, tmp_path: Path) -> None:
        pictures.folder(tmp_path, {"auk": 1, "heron": 9})
        with pytest.raises(DfrdBenchError, match="needs 2 test images of each class; of 'auk' there are 1"):
            open_dataset(f"imagefolder:{tmp_path}", test_images=4).load_tested()


def spoil(birds: Path, how: str) -> None:
    auk = birds / "test" / "auk"
    if how == "size":
        pictures.write(auk / "001.png", pictures.pixels(1, size=(8, 9)))
    elif how == "mode":
        pictures.write(auk / "001.png", pictures.pixels(1, channels=3))
    elif how == "alpha":
        pictures.write(auk / "001.png", pictures.pixels(1, channels=4))
    elif how == "first-alpha":
        pictures.write(auk / "000.png", pictures.pixels(1, channels=4))
    elif how == "no-image":
        (auk / "001.png").write_text("<html>")
    elif how == "cut":
        (auk / "001.png").write_bytes((auk / "001.png").read_bytes()[:70])
    elif how == "empty-class":
        (birds / "test" / "bittern").mkdir()
    elif how == "test-only":
        pictures.write(birds / "test" / "bittern" / "0.png", pictures.pixels(1))
    elif how == "train-only":
        pictures.write(birds / "train" / "bittern" / "0.png", pictures.pixels(1))
    elif how == "no-test":
        (birds / "test").rename(birds / "val")
    elif how == "empty-test":
        (birds / "test").rename(birds / "val")
        (birds / "test").mkdir()
    elif how == "one-class":
        for split in ("train", "test"):
            (birds / split / "heron").rename(birds / f"heron-{split}")


SPOILT = {
    "size": r"one size and mode: \S+test/auk/001.png is 9×8 greyscale, the first is 8×8 greyscale",
    "mode": r"test/auk/001.png is 8×8 RGB, the first is 8×8 greyscale",
    "alpha": r"test/auk/001.png has mode RGBA: convert it to RGB or greyscale",
    "first-alpha": r"test/auk/000.png has mode RGBA",
    "no-image": r"test/auk/001.png is not an image that can be read",
    "cut": r"The image \S+test/auk/001.png is damaged",
    "empty-class": r"test/bittern has no images",
    "test-only": r"test/ has the class 'bittern', train/ has not",
    "train-only": r"train/ has the class 'bittern', test/ has not",
    "no-test": r"birds has no folder test/. imagefolder:PATH wants PATH/train/CLASS/",
    "empty-test": r"test is empty",
    "one-class": r"test has 1 class: there must be at least two",
}


class TestCommands:
    @pytest.fixture
    def teacher(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
        monkeypatch.chdir(tmp_path)
        write_weights(tmp_path / "t.safetensors", build_network("wrn-10-1", channels=1, num_classes=2, seed=0))
        return ("--teacher", f"checkpoint:{tmp_path}/t.safetensors", "--teacher-arch", "wrn-10-1")

    @pytest.mark.parametrize(("how", "message"), SPOILT.items(), ids=SPOILT)
    def test_what_is_wrong_is_said_in_one_line(
        self, birds: Path, teacher: tuple[str, ...], how: str, message: str
    ) -> None:
        spoil(birds, how)
        for words in (("evaluate",), ("run", "--method", "zskt", "--student", "wrn-10-1")):
            outcome = tiny.command(*words, *teacher, "--dataset", f"imagefolder:{birds}", "--attacks", "clean")
            assert outcome.code == 2, outcome
            assert re.fullmatch(r"Error: [^\n]+\n", outcome.err), outcome.err
            assert re.search(message, outcome.err), outcome.err
            assert not Path("results").exists()

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("imagefolder", "Name the folder of your images: imagefolder:PATH"),
            ("imagefolder:nowhere", "There is no folder nowhere"),
            ("digits:nowhere", "'digits' takes no argument"),
        ],
    )
    def test_a_wrong_name_says_how_to_write_it(self, teacher: tuple[str, ...], name: str, message: str) -> None:
        outcome = tiny.command("evaluate", *teacher, "--dataset", name)
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert message in outcome.err

    def test_a_teacher_must_be_named(self, birds: Path) -> None:
        outcome = tiny.command("run", "--method", "zskt", "--student", "wrn-10-1", "--dataset", f"imagefolder:{birds}")
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert "imagefolder-birds has no teacher of its own: name one" in outcome.err

    def test_a_data_folder_is_refused_where_it_means_nothing(self) -> None:
        outcome = tiny.command("evaluate", "--teacher", "digits-wrn-10-2", "--data-dir", ".")
        assert (outcome.code, outcome.err.count("\n")) == (2, 1)
        assert "'digits' has no use for a data folder" in outcome.err

    def test_a_run_is_recorded_found_again_and_added_to(
        self, birds: Path, teacher: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("dfrd_bench.reporting.figures.samples.draw_samples", lambda *_, **__: None)
        dataset = ("--dataset", f"imagefolder:{birds}", "--test-images", "4")
        words = ("run", "--method", "zskt", "--epochs", "1", "--student", "wrn-10-1", *teacher, *dataset, "--quiet")
        few = ("--set", "batch_size=8", "--set", "distillation_steps=2", "--set", "generator_width=8")
        outcome = tiny.command(*words, *few, "--attacks", "clean")
        assert outcome.code == 0, outcome.err
        (path,) = Path("results").rglob("record.json")
        record = load_record(path.parent)
        assert record.spec.dataset == "imagefolder-birds-first4"
        assert record.dataset.test_images == 4
        assert record.dataset.info.name == "imagefolder-birds"
        assert record.dataset.info.class_names == ("auk", "heron")
        part = open_dataset(f"imagefolder:{birds}", test_images=4).load_tested()
        assert record.dataset.test_digest == part.digest()
        assert str(birds.parent) not in json.dumps(record.model_dump(mode="json", exclude={"environment"}))

        assert "Already run" in tiny.command(*words, *few, "--attacks", "clean").out
        refused = tiny.command("evaluate", path.parent, "--attacks", "fgsm")
        assert refused.code == 2
        assert "Say where the images of imagefolder-birds are: --dataset imagefolder:PATH" in refused.err
        added = tiny.command("evaluate", path.parent, "--attacks", "fgsm", *dataset[:2], "--quiet")
        assert added.code == 0, added.err
        assert load_record(path.parent).evaluation.attacks.keys() == {"clean", "fgsm"}

        shown = " ".join(tiny.command("table", "results", "--teacher").out.split())
        assert "The images of imagefolder-birds are the user's own copy" in shown
        assert "Only the first 2 test images of each class are used" in shown
        assert "--dataset imagefolder:PATH --test-images 4" in shown

        pictures.write(birds / "test" / "auk" / "000.png", pictures.pixels(1234))
        for again in ((*words, *few, "--attacks", "clean"), ("evaluate", path.parent, *dataset[:2])):
            changed = tiny.command(*again)
            assert changed.code == 2
            assert "are not those of the record" in changed.err

    @pytest.mark.parametrize("channels", [1, 3])
    def test_a_teacher_of_ones_own_images_can_be_trained_and_used(
        self, tmp_path: Path, teacher: tuple[str, ...], channels: int
    ) -> None:
        pictures.folder(tmp_path / "my birds", {"auk": 2, "heron": 3}, channels=channels, size=(12, 10))
        dataset = ("--dataset", "imagefolder:my birds", "--attacks", "clean", "--quiet")
        trained = tiny.command(*TRAIN, *dataset, "--output", "my birds.safetensors")
        assert trained.code == 0, trained.err
        record = load_record(Path("my birds.record"))
        assert record.dataset.info.shape == (channels, 12, 10)
        assert record.dataset.info.name == "imagefolder-my-birds"
        assert record.spec.method == "trades"
        use = shlex.split(trained.out.split("Use them with: ")[1])
        used = tiny.command("evaluate", *use, *dataset)
        assert used.code == 0, used.err
        assert "Recorded in my birds.record" in used.out
        assert used.out.splitlines()[1] == trained.out.splitlines()[1]

    def test_a_training_does_not_go_on_with_other_images(
        self, birds: Path, teacher: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        words = (*TRAIN, "--dataset", f"imagefolder:{birds}", "--attacks", "clean", "--quiet")

        def stop(*_: object, **__: object) -> None:
            signal.raise_signal(signal.SIGINT)

        with monkeypatch.context() as patch:
            patch.setattr("dfrd_bench.runs.measurement.measure", stop)
            assert tiny.command(*words).code == 130
        path = birds / "train" / "auk" / "000.png"
        before = path.read_bytes()
        pictures.write(path, pictures.pixels(1234))
        changed = tiny.command(*words)
        assert (changed.code, changed.err.count("\n")) == (2, 1)
        assert "holds an unfinished training with other settings (training images = " in changed.err
        path.write_bytes(before)
        assert tiny.command(*words).code == 0

    def test_all_images_and_some_are_kept_apart(self, teacher: tuple[str, ...]) -> None:
        for words in ((), ("--test-images", "20")):
            done = tiny.command("evaluate", "--teacher", "digits-wrn-10-2", "--attacks", "clean", "--quiet", *words)
            assert done.code == 0, done.err
        records = {path.parts[1]: load_record(path.parent) for path in Path("results").rglob("record.json")}
        assert records.keys() == {"digits", "digits-first20"}
        digests = {record.spec.digest() for record in records.values()}
        assert len(digests) == 2
        assert records["digits-first20"].dataset.test_images == 20
