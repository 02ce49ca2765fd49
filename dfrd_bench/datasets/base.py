"""What a dataset entry point is: real images, opened by evaluation and for methods that see them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.images import LabelledImages
from dfrd_bench.observer import SILENT, OnStep
from dfrd_bench.problem import DatasetInfo, Sees, ThreatModel
from dfrd_bench.registry import DATASETS

IMAGE_FOLDER = "imagefolder"  # the dataset kind whose images are the user's own; also how such a dataset's name begins
SHARED_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "quick": {"epochs": 22, "warmup_epochs": 2, "synthesis_rounds": 10, "synthesis_steps": 20},
    "cpu": {
        "epochs": 10,
        "batch_size": 64,
        "warmup_epochs": 2,
        "synthesis_rounds": 2,
        "synthesis_steps": 20,
        "distillation_steps": 100,
        "bottleneck_steps": 20,
    },
}
"""Where nothing else is sensible: the papers' budget, a tenth of it, and a hundredth of its steps on smaller batches.

But for the papers' own, all methods make as many images and take as many synthesis steps: a shorter preset has more
rounds of fewer steps.
"""

SHARED_TRAINING_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "quick": {"epochs": 20},
    "cpu": {"epochs": 2, "batch_size": 64},
}
"""The same for methods that see the training images: the papers' budget, a tenth of 200 epochs, and a hundredth."""

ON_CPU: Mapping[str, str] = {
    "default_student": "wrn-10-1",
    "teacher_architecture": "wrn-10-2",
    "default_preset": "cpu",
}
"""Where nothing else is sensible on a CPU: the smallest networks, and a hundredth of the papers' steps."""

TEACHER_PRESET = "teacher"
TEACHER_RECIPE: Mapping[str, Any] = {
    "epochs": 110,
    "batch_size": 128,
    "lr": 0.1,
    "schedule": "cycle",
    "lr_warmup": 0.1,
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 5e-4,
    "ema": 0.995,
    "crop_padding": 4,
    "robust_weight": 6.0,
    "one_batch": True,
}
"""By which a teacher is trained: the literature's for robust training on CIFAR-10.

Epochs, batches, SGD and crops as in Pang et al. 2021 (Bag of Tricks for Adversarial Training), the weights' average as in Rebuffi
et al. 2021 (Data Augmentation Can Improve Robustness), TRADES's β as in Zhang et al. 2019, one cycle by common practice.
"""


class Dataset(ABC):
    """A labelled image dataset with the threat model, teacher, student and budgets that go with it.

    Attributes:
        info: name, image shape, class names.
        threat: the threat model of this dataset's tables.
        default_teacher: name in the teacher registry; None where the user must name one.
        default_student: name in the student registry.
        default_preset: name of the budget that is taken where none is named.
        on_cpu: which of `default_teacher`, `default_student`, `default_preset` and `teacher_architecture` are others on a CPU,
            where the papers' choices would take weeks; by these names.
        default_natural_teacher: name in the teacher registry of the second teacher, of methods that have two; None where the
            user must name one.
        presets: named budgets (hyper-parameters by name) for `--preset`; must hold "default". "paper" is every method's
            own defaults and always exists.
        training_presets: the same for methods that see the training images; those of `presets` by name. They have one more,
            "teacher": how teachers are trained, `TEACHER_RECIPE` and what `teacher_recipe` changes of it.
        teacher_method: by which `teacher train` trains, a name in the method registry.
        teacher_architecture: what `teacher train` trains, a name in the student registry; None: the default student.
        teacher_recipe: hyper-parameters of a teacher's training that differ here from `TEACHER_RECIPE`.
        takes_argument: whether its name may carry one (`imagefolder:PATH`), given to the constructor as `argument`.
        sizes: how many images the splits have, by name, where that is known without any file.
        takes_data_dir: whether its images lie in files, in a folder given to the constructor as `data_dir` (None: the cache).
        test_images: how many test images are used, as many of each class; None for all (see `open_dataset`).
        progress: told by `load` how far long work is (stage, done, in all); set by whoever shows it.
    """

    info: DatasetInfo
    threat: ThreatModel
    default_teacher: str | None
    default_student: str
    default_preset: str = "default"
    on_cpu: ClassVar[Mapping[str, str]] = {}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]]
    training_presets: ClassVar[Mapping[str, Mapping[str, Any]]] = SHARED_TRAINING_PRESETS
    default_natural_teacher: ClassVar[str | None] = None
    teacher_method: ClassVar[str] = "trades"
    teacher_architecture: str | None = None
    teacher_recipe: ClassVar[Mapping[str, Any]] = {}
    takes_argument: ClassVar[bool] = False
    takes_data_dir: ClassVar[bool] = False
    sizes: ClassVar[Mapping[str, int]] = {}
    test_images: int | None = None
    progress: OnStep = staticmethod(SILENT.on_data)

    @property
    def name(self) -> str:
        """What records and tables call it: the task's name, and how many test images are used if not all.

        Results on the first images (`cifar10-first1000`) are kept, hashed and tabulated apart from those on all of them.
        """
        return self.task if self.test_images is None else f"{self.task}-first{self.test_images}"

    @property
    def task(self) -> str:
        """`info.name`; known without any file."""
        return self.info.name

    @property
    def num_classes(self) -> int:
        """How many classes; known without any file."""
        return self.info.num_classes

    @property
    def at_hand(self) -> bool:
        """Whether nothing has to be downloaded before its images can be read; taken so of a folder that the user names."""
        return True

    def stand_in(self) -> None:  # noqa: B027  (most have nothing to make up)
        """Make up what is known from files only, where these are not at hand; for a rehearsal, of which nothing is kept."""

    def count_tested(self) -> int:
        """How many test images are used.

        Raises:
            DfrdBenchError: see `load`.
        """
        if self.test_images is not None:
            return self.test_images
        return self.sizes["test"] if "test" in self.sizes else len(self.load("test"))

    @classmethod
    def presets_of(cls, sees: Sees) -> Mapping[str, Mapping[str, Any]]:
        """The budgets of methods that see nothing, or of those that see the training images."""
        if sees == "nothing":
            return cls.presets
        return {**cls.training_presets, TEACHER_PRESET: {**TEACHER_RECIPE, **cls.teacher_recipe}}

    @abstractmethod
    def load(self, split: Literal["train", "test"]) -> LabelledImages:
        """The images of a split, always in the same order.

        Raises:
            DfrdBenchError: they are not there, or not what they should be.
        """

    def load_tested(self) -> LabelledImages:
        """The test images that are used: all, or the first of each class.

        Raises:
            DfrdBenchError: see `load`; or a class has too few of them, or they are no fewer than all.
        """
        images = self.load("test")
        if self.test_images is None:
            return images
        if self.test_images >= len(images):
            raise DfrdBenchError(f"{self.info.name} has just {len(images)} test images: leave --test-images out.")
        return first_of_each_class(images, self.test_images // self.info.num_classes, self.info.class_names)


def first_of_each_class(images: LabelledImages, each: int, class_names: Sequence[str]) -> LabelledImages:
    """The first so many images of every class, in the order they had.

    Raises:
        DfrdBenchError: a class has fewer.
    """
    import torch

    chosen = torch.zeros(len(images), dtype=torch.bool)
    for label, class_name in enumerate(class_names):
        members = (images.labels == label).nonzero().flatten()
        if len(members) < each:
            raise DfrdBenchError(
                f"--test-images {each * len(class_names)} needs {each} test images of each class; "
                f"of {class_name!r} there are {len(members)}."
            )
        chosen[members[:each]] = True
    return LabelledImages(images.images[chosen], images.labels[chosen])


def own_images(name: str) -> bool:
    """Whether a dataset's name in a record is that of somebody's own folder of images."""
    return name.startswith(f"{IMAGE_FOLDER}-")


def open_dataset(
    name: str,
    *,
    data_dir: str | Path | None = None,
    test_images: int | None = None,
    progress: OnStep = SILENT.on_data,
    on_cpu: bool = False,
) -> Dataset:
    """The dataset of a registered name; its images are read later, by `load`.

    Args:
        name: a name of `dfrd-bench list datasets`, e.g. `imagefolder:PATH`.
        data_dir: folder in which its files lie already; None for the cache, into which they are downloaded once.
        test_images: test on so many images only, the first of each class; None for all of them.
        progress: told how far reading and downloading is.
        on_cpu: whether its defaults are for a CPU.

    Raises:
        DfrdBenchError: no such dataset, an argument it does not take, or a number of test images that is not positive or no
            multiple of the number of classes.
    """
    factory = DATASETS.get(name)
    head, argument = DATASETS.parse(name)
    given: dict[str, Any] = {}
    if getattr(factory, "takes_argument", False):
        given["argument"] = argument
    if getattr(factory, "takes_data_dir", False):
        given["data_dir"] = None if data_dir is None else Path(data_dir)
    elif data_dir is not None:
        raise DfrdBenchError(f"The dataset {head!r} has no use for a data folder: leave --data-dir out.")
    dataset: Dataset = factory(**given)
    dataset.progress = progress
    classes = dataset.num_classes
    if test_images is not None and (test_images < 1 or test_images % classes):
        raise DfrdBenchError(
            f"--test-images takes as many of each of the {classes} classes of {head}: "
            f"a multiple of {classes}, not {test_images}."
        )
    dataset.test_images = test_images
    for field, value in dataset.on_cpu.items() if on_cpu else ():
        setattr(dataset, field, value)
    return dataset
