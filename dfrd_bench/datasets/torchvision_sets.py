"""CIFAR-10, CIFAR-100 and SVHN: torchvision's addresses, checksums and readers, our download."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

from dfrd_bench.datasets.base import ON_CPU, SHARED_PRESETS, Dataset
from dfrd_bench.datasets.download import Remote, cache_folder, md5_of, obtain
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import DatasetInfo, ThreatModel
from dfrd_bench.records.files import write_atomically

CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"
CIFAR100_CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle caterpillar
cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl
hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road
rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank
telephone television tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""


class _Torchvision(Dataset):
    """What the three share: 32x32 colour images, the papers' threat model, and files."""

    takes_data_dir: ClassVar[bool] = True
    threat = ThreatModel()
    default_teacher: str | None = None
    default_student = "resnet-18"
    on_cpu: ClassVar[Mapping[str, str]] = ON_CPU
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = SHARED_PRESETS

    def __init__(self, data_dir: Path | None = None) -> None:
        self.data_dir = data_dir

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self.data_dir or cache_folder()


class CIFAR10(_Torchvision):
    """32x32 colour photographs of 10 kinds of things (60,000, downloaded once)."""

    info = DatasetInfo(name="cifar10", shape=(3, 32, 32), class_names=tuple(CIFAR10_CLASSES.split()))
    sizes: ClassVar[Mapping[str, int]] = {"train": 50_000, "test": 10_000}
    default_teacher = "robustbench:Chen2024Data_WRN_34_10"
    on_cpu: ClassVar[Mapping[str, str]] = {**ON_CPU, "default_teacher": "robustbench:Addepalli2022Efficient_RN18"}
    teacher_architecture = "wrn-34-10"
    source: ClassVar[str] = "CIFAR10"

    def load(self, split: Literal["train", "test"]) -> LabelledImages:
        """The images of a split in the order of the original files; uint8.

        Raises:
            DfrdBenchError: they are not there and cannot be downloaded, or are not what they should be.
        """
        import torch
        from torchvision import datasets

        source = getattr(datasets, self.source)
        self._make_ready(source)
        data = source(self.folder, train=split == "train", download=False)
        images = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()  # [N, H, W, C] -> [N, C, H, W]
        return LabelledImages(images, torch.tensor(data.targets, dtype=torch.int64))

    @property
    def at_hand(self) -> bool:
        """Whether its files, or the archive, are there; whether they are right is seen when they are read."""
        from torchvision import datasets

        source = getattr(datasets, self.source)
        there = (self.folder / source.base_folder).is_dir() or (self.folder / source.filename).is_file()
        return self.data_dir is not None or there

    def _make_ready(self, source: Any) -> None:
        """Have every file of torchvision's reader in place, with the right content."""
        archive = Remote(source.url, source.filename, source.tgz_md5)
        batches = self.folder / source.base_folder
        if _first_bad(source, batches) is None:
            return
        if batches.exists() and not (self.folder / archive.name).exists() and self.data_dir is not None:
            raise DfrdBenchError(
                f"{_first_bad(source, batches)} is missing, damaged or another file (md5). "
                f"{archive.by_hand(self.data_dir / archive.name)}"
            )
        packed = obtain(archive, self.data_dir, self.progress)
        _unpack(packed, batches)
        if bad := _first_bad(source, batches):
            raise DfrdBenchError(f"{packed} has no right {bad.name} in it. {archive.by_hand(packed)}")


class CIFAR100(CIFAR10):
    """32x32 colour photographs of 100 kinds of things (60,000, downloaded once)."""

    info = DatasetInfo(name="cifar100", shape=(3, 32, 32), class_names=tuple(CIFAR100_CLASSES.split()))
    source: ClassVar[str] = "CIFAR100"


class SVHN(_Torchvision):
    """32x32 colour photographs of house numbers (73,257 and 26,032 digits, downloaded once)."""

    info = DatasetInfo(name="svhn", shape=(3, 32, 32), class_names=tuple("0123456789"), mirrored=False)
    sizes: ClassVar[Mapping[str, int]] = {"train": 73_257, "test": 26_032}
    teacher_recipe: ClassVar[Mapping[str, Any]] = {"lr": 0.01}  # Rice et al. 2020, for SVHN

    @property
    def at_hand(self) -> bool:
        """Whether its files are there."""
        from torchvision import datasets

        names = [name for _, name, _ in (datasets.SVHN.split_list[split] for split in ("train", "test"))]
        return self.data_dir is not None or all((self.folder / name).is_file() for name in names)

    def load(self, split: Literal["train", "test"]) -> LabelledImages:
        """The images of a split in the order of the original file; uint8. The class of "0" is 0.

        Raises:
            DfrdBenchError: they are not there and cannot be downloaded, or are not what they should be.
        """
        import numpy as np
        import torch
        from torchvision import datasets

        url, name, md5 = datasets.SVHN.split_list[split]
        obtain(Remote(url, name, md5), self.data_dir, self.progress)
        data = datasets.SVHN(self.folder, split=split, download=False)
        return LabelledImages(
            torch.from_numpy(np.ascontiguousarray(data.data)), torch.as_tensor(data.labels, dtype=torch.int64)
        )


def _first_bad(source: Any, batches: Path) -> Path | None:
    """The first of a CIFAR reader's files that is missing or has another content; None if all are right."""
    meta = source.meta["filename"], source.meta["md5"]
    files: tuple[tuple[str, str], ...] = (*source.train_list, *source.test_list, meta)
    paths = ((batches / name, md5) for name, md5 in files)
    return next((path for path, md5 in paths if not path.is_file() or md5_of(path) != md5), None)


def _unpack(packed: Path, batches: Path) -> None:
    """Write the files of one folder of a tar archive, each whole or not at all; anything else in it is left alone.

    Raises:
        DfrdBenchError: the archive cannot be read, or the folder not written.
    """
    try:
        with tarfile.open(packed) as archive:
            for member in archive:
                where = PurePosixPath(member.name)
                if member.isfile() and where.parts == (batches.name, where.name):
                    file = archive.extractfile(member)
                    assert file is not None  # a regular file
                    write_atomically(batches / where.name, file.read())
    except (OSError, tarfile.TarError, zlib.error, EOFError) as error:
        raise DfrdBenchError(f"Cannot unpack {packed}: {error}.") from error
