"""CIFAR-10, CIFAR-100, SVHN and Tiny-ImageNet: read right, downloaded once, and nothing wrong is ever kept."""

from __future__ import annotations

import io
import re
import shutil
import zipfile
from pathlib import Path

import homes
import numpy as np
import pytest
import tiny
import torch
import torchvision
from PIL import Image

from dfrd_bench.datasets import tiny_imagenet
from dfrd_bench.datasets.base import Dataset, open_dataset
from dfrd_bench.datasets.download import Remote, cache_folder, obtain
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.weights import write_weights
from dfrd_bench.students.base import build_network


class TestCifar:
    @pytest.mark.parametrize("classes", [10, 100])
    def test_the_images_are_the_batches(
        self, cache: Path, home: homes.Home, monkeypatch: pytest.MonkeyPatch, classes: int
    ) -> None:
        expected, labels = homes.cifar(monkeypatch, home, classes=classes)
        loaded = open_dataset(f"cifar{classes}").load("test")
        assert loaded.images.dtype == torch.uint8
        assert np.array_equal(loaded.images.numpy(), expected)
        assert loaded.labels.tolist() == labels
        assert len(open_dataset(f"cifar{classes}").load("train")) == (60 if classes == 10 else 12)
        assert len(home.asked) == 1  # the second time nothing is downloaded

    def test_nothing_outside_its_folder_is_unpacked(
        self, cache: Path, home: homes.Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        homes.cifar(monkeypatch, home)
        open_dataset("cifar10").load("test")
        files = tiny.files_below(cache.parent)
        assert not any("outside" in name for name in files)
        assert not any(name.endswith((".part", ".tmp")) for name in files)

    def test_a_damaged_batch_in_the_cache_is_unpacked_again(
        self, cache: Path, home: homes.Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected, _ = homes.cifar(monkeypatch, home)
        open_dataset("cifar10").load("test")
        batch = cache / "cifar-10-batches-py" / "test_batch"
        batch.write_bytes(batch.read_bytes()[:-1] + b"x")
        assert np.array_equal(open_dataset("cifar10").load("test").images.numpy(), expected)

    def test_a_copy_that_is_there_is_used_without_a_download(
        self, cache: Path, home: homes.Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        expected, _ = homes.cifar(monkeypatch, home)
        open_dataset("cifar10").load("test")
        (cache / "cifar-10-batches-py").rename(tmp_path / "cifar-10-batches-py")
        home.asked.clear()
        loaded = open_dataset("cifar10", data_dir=tmp_path).load("test")
        assert np.array_equal(loaded.images.numpy(), expected)
        (tmp_path / "by-hand").mkdir()
        (cache / "cifar-10-python.tar.gz").rename(tmp_path / "by-hand" / "cifar-10-python.tar.gz")
        loaded = open_dataset("cifar10", data_dir=tmp_path / "by-hand").load("test")
        assert np.array_equal(loaded.images.numpy(), expected)
        assert home.asked == []

    def test_a_damaged_copy_of_the_users_is_named_and_left_alone(
        self, cache: Path, home: homes.Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        homes.cifar(monkeypatch, home)
        open_dataset("cifar10").load("test")
        (cache / "cifar-10-python.tar.gz").unlink()
        batch = cache / "cifar-10-batches-py" / "data_batch_3"
        batch.write_bytes(b"spoilt")
        with pytest.raises(DfrdBenchError, match=r"data_batch_3 is missing, damaged or another file.* put it at "):
            open_dataset("cifar10", data_dir=cache).load("test")
        assert batch.read_bytes() == b"spoilt"

    def test_an_empty_folder_of_the_users_gets_told_what_to_put_there(self, tmp_path: Path) -> None:
        with pytest.raises(DfrdBenchError) as caught:
            open_dataset("cifar10", data_dir=tmp_path).load("test")
        message = str(caught.value)
        assert f"There is no cifar-10-python.tar.gz in {tmp_path}" in message
        assert "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz" in message
        assert "c58f30108f718f92721af3b95e74349a" in message

    def test_the_classes_are_those_the_datasets_have(self) -> None:
        ten, hundred = open_dataset("cifar10").info.class_names, open_dataset("cifar100").info.class_names
        assert (len(ten), len(set(hundred))) == (10, 100)
        assert list(hundred) == sorted(hundred)
        assert (hundred[19], hundred[71]) == ("cattle", "sea")


class TestSvhn:
    def test_the_images_are_those_of_the_file_and_ten_is_nought(
        self, cache: Path, home: homes.Home, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        expected, labels = homes.svhn(monkeypatch, home)
        loaded = open_dataset("svhn").load("test")
        assert loaded.images.dtype == torch.uint8
        assert np.array_equal(loaded.images.numpy(), expected)
        assert loaded.labels.tolist() == labels
        assert open_dataset("svhn").info.mirrored is False


@pytest.fixture(scope="module")
def packed() -> bytes:
    """A miniature of Tiny-ImageNet's zip."""
    return homes.tiny_imagenet()


class TestTinyImageNet:
    @pytest.fixture
    def there(
        self, cache: Path, home: homes.Home, packed: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> tuple[Path, bytes]:
        home.files["t.zip"] = packed
        archive = Remote(f"{home.url}/t.zip", "tiny-imagenet-200.zip", homes.md5(packed))
        monkeypatch.setattr(tiny_imagenet, "ARCHIVE", archive)
        return cache, packed

    def check(self, dataset: Dataset) -> None:
        names = dataset.info.class_names
        assert dataset.info.shape == (3, 64, 64)
        assert names[:3] == ("thing 0", "thing 1", "thing 2")
        assert names[3:5] == ("crane (n10000111)", "crane (n10000148)")
        for split, each in (("test", 2), ("train", 1)):
            loaded = dataset.load(split)  # type: ignore[arg-type]
            assert loaded.images.shape == (200 * each, 3, 64, 64)
            assert loaded.images.dtype == torch.uint8
            assert loaded.labels.tolist() == [k for k in range(200) for _ in range(each)]
            for k, image in zip(loaded.labels[each:].tolist(), loaded.images[each:], strict=True):
                expected = np.asarray(Image.open(io.BytesIO(homes.jpeg(k))))
                assert np.array_equal(image.permute(1, 2, 0).numpy(), expected)
            assert (loaded.images[:each] == 0).all()  # grey became RGB

    def test_the_annotation_file_sorts_the_validation_images(self, there: tuple[Path, bytes], home: homes.Home) -> None:
        self.check(open_dataset("tiny-imagenet"))
        assert home.asked == ["t.zip"]
        assert tiny.files_below(there[0]) == ["tiny-imagenet-200.zip"]
        open_dataset("tiny-imagenet").load("test")
        assert home.asked == ["t.zip"]

    @pytest.mark.parametrize("below", ["", "tiny-imagenet-200"])
    def test_an_unpacked_copy_is_read_where_it_is(
        self, there: tuple[Path, bytes], home: homes.Home, tmp_path: Path, below: str
    ) -> None:
        with zipfile.ZipFile(io.BytesIO(there[1])) as archive:
            archive.extractall(tmp_path / "mine")
        self.check(open_dataset("tiny-imagenet", data_dir=tmp_path / "mine" / below))
        assert home.asked == []

    def test_a_missing_image_is_named(self, there: tuple[Path, bytes], tmp_path: Path) -> None:
        with zipfile.ZipFile(io.BytesIO(there[1])) as archive:
            archive.extractall(tmp_path)
        (tmp_path / "tiny-imagenet-200" / "val" / "images" / "val_7.JPEG").unlink()
        with pytest.raises(DfrdBenchError, match=r"Cannot read \S+val_7.JPEG"):
            open_dataset("tiny-imagenet", data_dir=tmp_path).load("test")

    def test_the_number_of_classes_is_known_without_the_file(self, cache: Path, home: homes.Home) -> None:
        assert open_dataset("tiny-imagenet", test_images=400).num_classes == 200
        assert not cache.exists()
        with pytest.raises(DfrdBenchError, match="a multiple of 200, not 100"):
            open_dataset("tiny-imagenet", test_images=100)


class TestDownload:
    DATA = b"0123456789" * 1000

    def remote(self, home: homes.Home, name: str = "set.bin") -> Remote:
        return Remote(f"{home.url}/{name}", "set.bin", homes.md5(self.DATA))

    @pytest.mark.parametrize(
        ("sent", "cut"),
        [
            (DATA[:-1] + b"x", None),
            (DATA, 5000),
            (DATA[:100], None),
            (b"<html>please log in</html>", None),
            (b"", None),
        ],
        ids=["tampered", "cut-off", "partial", "page", "empty"],
    )
    def test_what_is_not_the_file_is_removed_and_named(
        self, cache: Path, home: homes.Home, sent: bytes, cut: int | None
    ) -> None:
        home.files["set.bin"], home.cut = sent, cut
        remote = self.remote(home)
        with pytest.raises(DfrdBenchError) as caught:
            obtain(remote, None)
        message = str(caught.value)
        assert "\n" not in message
        assert f"download {remote.url} and put it at {cache / 'set.bin'} (md5 {remote.md5})" in message
        assert tiny.files_below(cache) == []
        home.files["set.bin"], home.cut = self.DATA, None
        assert obtain(remote, None).read_bytes() == self.DATA

    def test_a_home_that_does_not_answer_is_said_with_what_to_do(self, cache: Path, home: homes.Home) -> None:
        for remote in (self.remote(home, "moved"), Remote("http://127.0.0.1:9/set.bin", "set.bin", "0" * 32)):
            with pytest.raises(DfrdBenchError, match=rf"Cannot download set.bin: .*put it at {cache}/set.bin"):
                obtain(remote, None)
            assert tiny.files_below(cache) == []

    def test_a_wrong_file_in_the_cache_is_removed_but_one_of_the_users_is_not(
        self, cache: Path, home: homes.Home, tmp_path: Path
    ) -> None:
        home.files["set.bin"] = self.DATA
        for folder in (cache, tmp_path / "mine"):
            folder.mkdir()
            (folder / "set.bin").write_bytes(b"half")
        with pytest.raises(DfrdBenchError, match=r"cache/set.bin was damaged or another file and has been removed"):
            obtain(self.remote(home), None)
        assert tiny.files_below(cache) == []
        with pytest.raises(DfrdBenchError, match=r"mine/set.bin is damaged or another file: its md5 is"):
            obtain(self.remote(home), tmp_path / "mine")
        assert tiny.files_below(tmp_path / "mine") == ["set.bin"]
        assert home.asked == []

    def test_an_interrupted_download_leaves_nothing(self, cache: Path, home: homes.Home) -> None:
        home.files["set.bin"] = self.DATA

        def interrupt(stage: str, done: int, total: int) -> None:
            assert (stage, total) == ("downloading set.bin", len(self.DATA))
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            obtain(self.remote(home), None, interrupt)
        assert tiny.files_below(cache) == []

    def test_a_cache_that_cannot_be_written_is_one_line(
        self, home: homes.Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("DFRD_BENCH_DATA", str(tmp_path / "file" / "below"))
        with pytest.raises(DfrdBenchError, match=r"Cannot download set.bin: .*[Nn]ot a directory"):
            obtain(self.remote(home), None)

    def test_the_cache_is_where_the_platform_wants_it(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("DFRD_BENCH_DATA", raising=False)
        monkeypatch.setattr("sys.platform", "linux")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert cache_folder() == tmp_path / "dfrd-bench"
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert cache_folder() == tmp_path / ".cache" / "dfrd-bench"
        monkeypatch.setattr("sys.platform", "darwin")
        assert cache_folder() == tmp_path / "Library" / "Caches" / "dfrd-bench"

    def test_a_command_says_it_in_one_line_before_any_training(
        self, cache: Path, home: homes.Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", f"{home.url}/moved.tar.gz")
        outcome = tiny.command("teacher", "train", "--dataset", "cifar10", "--epochs", "1", "--arch", "wrn-10-1")
        assert outcome.code == 2
        assert re.fullmatch(r"Error: Cannot download cifar-10-python.tar.gz: [^\n]+\n", outcome.err), outcome.err
        assert tiny.files_below(tmp_path) == []

    def test_finished_results_need_the_files_no_more(
        self, cache: Path, home: homes.Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.chdir(tmp_path)
        homes.cifar(monkeypatch, home)
        write_weights(tmp_path / "t.safetensors", build_network("wrn-10-1", channels=3, num_classes=10, seed=0))
        teacher = ("--teacher", "checkpoint:t.safetensors", "--teacher-arch", "wrn-10-1")
        words = ("evaluate", *teacher, "--dataset", "cifar10", "--attacks", "clean", "--quiet")
        first = tiny.command(*words, "--test-images", "10")
        assert first.code == 0, first.err
        shutil.rmtree(cache)
        home.files.clear()
        assert tiny.command(*words, "--test-images", "10") == first
        assert tiny.command(*words).code == 2


def test_what_cannot_be_read_is_not_called_damaged_and_not_removed(cache: Path) -> None:
    (cache / "x.tar").mkdir(parents=True)  # like a file of another user
    with pytest.raises(DfrdBenchError, match=r"Cannot read .*x\.tar"):
        obtain(Remote("http://127.0.0.1:9/x.tar", "x.tar", 32 * "0"), None)
    assert (cache / "x.tar").exists()
