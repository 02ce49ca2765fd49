"""Tiny-ImageNet, read where it lies: in its zip file, or in the folder somebody unpacked it into."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from dfrd_bench.datasets.base import ON_CPU, SHARED_PRESETS, Dataset
from dfrd_bench.datasets.decoding import LARGEST_FILE, decode
from dfrd_bench.datasets.download import Remote, cache_folder, obtain
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import DatasetInfo, ThreatModel
from dfrd_bench.records.reading import read_file

ROOT = "tiny-imagenet-200"
ARCHIVE = Remote(
    f"http://cs231n.stanford.edu/{ROOT}.zip",
    f"{ROOT}.zip",
    "90528d7ca1a48142e341f4ef8d21d0de",  # 248,100,043 bytes
)
CLASSES = 200
SHAPE = (3, 64, 64)


class _Files(Protocol):
    """Files by their name below `tiny-imagenet-200/`."""

    def read(self, name: str) -> bytes: ...


class TinyImageNet(Dataset):
    """64x64 colour photographs of 200 kinds of things (110,000, downloaded once).

    Its own test images have no labels: as everywhere, the validation images are the test images.
    """

    takes_data_dir: ClassVar[bool] = True
    threat = ThreatModel()
    default_teacher = None
    default_student = "preactresnet-18"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = SHARED_PRESETS
    sizes: ClassVar[Mapping[str, int]] = {"train": 100_000, "test": 10_000}
    on_cpu: ClassVar[Mapping[str, str]] = ON_CPU
    teacher_architecture = "preactresnet-34"  # FERD paper, table 4
    teacher_recipe: ClassVar[Mapping[str, Any]] = {"crop_padding": 8}  # an eighth of the side, as for CIFAR's 32

    def __init__(self, data_dir: Path | None = None) -> None:
        self.data_dir = data_dir

    @property
    def task(self) -> str:
        """Known without the files."""
        return "tiny-imagenet"

    @property
    def num_classes(self) -> int:
        """200, known without the files."""
        return CLASSES

    @property
    def at_hand(self) -> bool:
        """Whether the archive is there; of a folder that the user names that is taken so."""
        return self.data_dir is not None or (cache_folder() / ARCHIVE.name).is_file()

    def stand_in(self) -> None:
        """Number the classes."""
        names = tuple(f"class {number}" for number in range(CLASSES))
        vars(self)["info"] = DatasetInfo(name=self.task, shape=SHAPE, class_names=names)

    @cached_property
    def info(self) -> DatasetInfo:  # type: ignore[override]
        """The classes in the order of their WordNet ids, under the first of their words.

        Raises:
            DfrdBenchError: see `load`.
        """
        words = dict(line.split("\t", 1) for line in self._lines("words.txt") if "\t" in line)
        names = [words.get(wnid, wnid).split(",")[0].strip() for wnid in self._wnids]
        twice = {name for name in names if names.count(name) > 1}
        unique = (f"{name} ({wnid})" if name in twice else name for name, wnid in zip(names, self._wnids, strict=True))
        return DatasetInfo(name=self.task, shape=SHAPE, class_names=tuple(unique))

    def load(self, split: Literal["train", "test"]) -> LabelledImages:
        """The images of a split, by class and by file name within it; uint8.

        Raises:
            DfrdBenchError: they are not there and cannot be downloaded, or are not what they should be.
        """
        import torch

        label_of = {wnid: label for label, wnid in enumerate(self._wnids)}
        listed = self._validation() if split == "test" else self._training()
        unknown = {wnid for _, wnid in listed} - set(label_of)
        if unknown:
            raise DfrdBenchError(f"{ROOT} names the class {min(unknown)}, which is not in its wnids.txt.")
        ordered = sorted((label_of[wnid], _number(name), name) for name, wnid in listed)
        names = [name for _, _, name in ordered]
        images = decode(names, self._files.read, SHAPE, to_rgb=True, stage=f"reading {split}", progress=self.progress)
        return LabelledImages(images, torch.tensor([label for label, _, _ in ordered], dtype=torch.int64))

    def _validation(self) -> list[tuple[str, str]]:
        """(file, WordNet id) of every validation image, from the annotation file."""
        rows = [line.split("\t") for line in self._lines("val/val_annotations.txt")]
        return [(f"val/images/{row[0]}", row[1]) for row in rows if len(row) >= 2]

    def _training(self) -> list[tuple[str, str]]:
        """(file, WordNet id) of every training image, from the files that give their boxes."""
        return [
            (f"train/{wnid}/images/{line.split()[0]}", wnid)
            for wnid in self._wnids
            for line in self._lines(f"train/{wnid}/{wnid}_boxes.txt")
        ]

    @cached_property
    def _wnids(self) -> list[str]:
        wnids = sorted(self._lines("wnids.txt"))
        if len(wnids) != CLASSES:
            raise DfrdBenchError(f"{ROOT}'s wnids.txt has {len(wnids)} classes, not {CLASSES}.")
        return wnids

    def _lines(self, name: str) -> list[str]:
        return [line for line in self._files.read(name).decode("utf-8", "replace").splitlines() if line.strip()]

    @cached_property
    def _files(self) -> _Files:
        if self.data_dir is not None and (folder := _unpacked(self.data_dir)) is not None:
            return _Folder(folder)
        return _Zip(obtain(ARCHIVE, self.data_dir, self.progress))


class _Folder:
    """An unpacked copy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str) -> bytes:
        return read_file(self.folder / name, LARGEST_FILE)


class _Zip:
    """The zip file; nothing of it is unpacked onto the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise DfrdBenchError(f"Cannot read {path}: {error}.") from error

    def read(self, name: str) -> bytes:
        try:
            return self.archive.read(f"{ROOT}/{name}")
        except (OSError, KeyError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise DfrdBenchError(f"Cannot read {name} in {self.path}: {error}.") from error


def _unpacked(data_dir: Path) -> Path | None:
    """The folder with wnids.txt: the given one, or tiny-imagenet-200/ in it."""
    candidates: Iterable[Path] = (data_dir, data_dir / ROOT)
    return next((folder for folder in candidates if (folder / "wnids.txt").is_file()), None)


def _number(name: str) -> int:
    """The last number in a file's name, so that image 10 comes after image 9."""
    digits = "".join(c if c.isdigit() else " " for c in Path(name).stem).split()
    return int(digits[-1]) if digits else 0
