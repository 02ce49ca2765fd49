"""Anybody's own images: `imagefolder:PATH` with train/ and test/, in each a folder of images per class."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from dfrd_bench.datasets.base import IMAGE_FOLDER, ON_CPU, SHARED_PRESETS, Dataset
from dfrd_bench.datasets.decoding import LARGEST_FILE, decode, look
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import DatasetInfo, ThreatModel
from dfrd_bench.records.files import expanded, file_name
from dfrd_bench.records.reading import read_file

log = logging.getLogger(__name__)
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".pgm", ".webp", ".tif", ".tiff"}
STUDENTS = {12: "wrn-10-1", 24: "wrn-16-2", 48: "resnet-18"}
"""By the shorter side of an image, up to so many pixels; preactresnet-18 above, as on Tiny-ImageNet."""
LAYOUT = "PATH/train/CLASS/*.png (or .jpg, …) and PATH/test/CLASS/*"


class ImageFolder(Dataset):
    """your own images: imagefolder:PATH with train/CLASS/ and test/CLASS/ in it"""

    takes_argument: ClassVar[bool] = True
    threat = ThreatModel()
    default_teacher = None
    default_student = "resnet-18"
    on_cpu: ClassVar[Mapping[str, str]] = ON_CPU
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = SHARED_PRESETS

    def __init__(self, argument: str) -> None:
        """Look at the folders, and at one image; the others are read by `load`.

        Args:
            argument: path of the folder. Its last part names the dataset in records; the rest of it goes nowhere.

        Raises:
            DfrdBenchError: there is no such folder, or it is not laid out as needed.
        """
        if not argument:
            raise DfrdBenchError(f"Name the folder of your images: {IMAGE_FOLDER}:PATH, with {LAYOUT}.")
        self.folder = expanded(argument)
        if not self.folder.is_dir():
            raise DfrdBenchError(f"There is no folder {self.folder}. {IMAGE_FOLDER}:PATH wants {LAYOUT}.")
        self.files = _images_of(self.folder / "test")
        class_names = tuple(self.files)
        if len(class_names) < 2:
            raise DfrdBenchError(f"{self.folder / 'test'} has {len(class_names)} class: there must be at least two.")
        self._check_training_classes(class_names)
        first = self.files[class_names[0]][0]
        _, shape = look(_read(first), str(first))
        self.info = DatasetInfo(
            name=f"{IMAGE_FOLDER}-{file_name(self.folder.resolve().name)}", shape=shape, class_names=class_names
        )
        side = min(shape[1:])
        self.default_student = next((name for most, name in STUDENTS.items() if side <= most), "preactresnet-18")

    def count_tested(self) -> int:
        """Counted by file."""
        return self.test_images or sum(map(len, self.files.values()))

    def load(self, split: Literal["train", "test"]) -> LabelledImages:
        """The images of a split: by class, and by file name within it; uint8.

        Raises:
            DfrdBenchError: a file that cannot be read, or has another size or mode than the first.
        """
        import torch

        files = self.files if split == "test" else _images_of(self.folder / "train")
        if tuple(files) != self.info.class_names:
            raise DfrdBenchError(f"{self.folder} has changed: the classes of train/ are not those of test/ any more.")
        paths = [str(path) for members in files.values() for path in members]
        labels = [label for label, members in enumerate(files.values()) for _ in members]
        stage = f"reading {split}"
        images = decode(paths, lambda path: _read(Path(path)), self.info.shape, stage=stage, progress=self.progress)
        return LabelledImages(images, torch.tensor(labels, dtype=torch.int64))

    def _check_training_classes(self, class_names: tuple[str, ...]) -> None:
        """train/ is needed to train a teacher only, but where it is there it must have the same classes."""
        train = self.folder / "train"
        if not train.is_dir():
            return
        trained = set(_class_folders(train))
        for have, lack, missing in (
            ("test", "train", set(class_names) - trained),
            ("train", "test", trained - set(class_names)),
        ):
            if missing:
                raise DfrdBenchError(
                    f"{self.folder}: {have}/ has the class {min(missing)!r}, {lack}/ has not. Both need the same classes."
                )


def _class_folders(split: Path) -> list[str]:
    """Names of the classes, sorted.

    Raises:
        DfrdBenchError: one of them is not UTF-8, so that no record could hold it.
    """
    names = [path.name for path in _inside(split) if path.is_dir()]
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise DfrdBenchError(
                f"{split} has a class {name!r}, whose name is not UTF-8: rename the folder."
            ) from error
    return names


def _inside(folder: Path) -> list[Path]:
    """What is in a folder, sorted by name, without hidden files."""
    try:
        return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)
    except OSError as error:
        raise DfrdBenchError(f"Cannot read {folder}: {error.strerror or error}.") from error


def _images_of(split: Path) -> dict[str, list[Path]]:
    """The image files of each class, sorted by name; a warning is logged about what else lies there.

    Raises:
        DfrdBenchError: the folder is missing, or one of its classes has no images.
    """
    if not split.is_dir():
        raise DfrdBenchError(f"{split.parent} has no folder {split.name}/. {IMAGE_FOLDER}:PATH wants {LAYOUT}.")
    files: dict[str, list[Path]] = {}
    others: list[Path] = []
    for class_name in _class_folders(split):
        found = _inside(split / class_name)
        files[class_name] = [path for path in found if path.suffix.lower() in SUFFIXES]
        others += [path for path in found if path.suffix.lower() not in SUFFIXES]
        if not files[class_name]:
            raise DfrdBenchError(f"{split / class_name} has no images ({', '.join(sorted(SUFFIXES))}).")
    if others:
        first = others[0].relative_to(split)
        log.warning(
            "Not taken from %s: %d that end in none of %s, e.g. %s.",
            split,
            len(others),
            ", ".join(sorted(SUFFIXES)),
            first,
        )
    if not files:
        raise DfrdBenchError(f"{split} is empty: it needs a folder of images per class.")
    return files


def _read(path: Path) -> bytes:
    return read_file(path, LARGEST_FILE)
