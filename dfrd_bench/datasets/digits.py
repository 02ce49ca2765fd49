"""scikit-learn's 8x8 handwritten digits: 1,797 real images that come with the package, divided once and for all."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import as_file, files
from typing import Any, ClassVar, Literal

from dfrd_bench.datasets.base import Dataset
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import TUNING, DatasetInfo, ThreatModel
from dfrd_bench.records.arrays import read_arrays

WHITE = 16  # the images' grey levels are 0 … 16
BUDGET: Mapping[str, Any] = {
    "epochs": 40,
    "batch_size": 128,
    "warmup_epochs": 5,
    "synthesis_rounds": 2,
    "synthesis_steps": 20,
    "distillation_steps": 80,
    "attack_steps": 5,  # of twice the length: as far as ten, for 7 passes instead of 12
    "attack_step": 0.1,
    "generator_width": 32,
    "bottleneck_steps": 20,
    "probe_steps": 10,
    "crop_padding": 0,  # the digits fill their 8x8 box, and the teacher was trained without shifts
}

TRAINING: Mapping[str, Any] = {
    "epochs": 60,
    "batch_size": 64,
    "crop_padding": 0,
    "validation_share": 0.2,  # 17 or 18 images of each class, where the papers' 6 % would be 5
    "clamp": "released",  # κ of an epoch of 15 steps jumps, and without bounds ω follows: a student of Fair-RSLAD never learns
}
"""For methods that see the training images: 900 steps of 60, with ten attack steps."""


class Digits(Dataset):
    """8x8 grey handwritten digits (1,797 images, embedded; 897 to train on, 900 to test on)."""

    info = DatasetInfo(name="digits", shape=(1, 8, 8), class_names=tuple("0123456789"), mirrored=False)
    threat = ThreatModel(eps=0.2, step=0.05)
    default_teacher = "digits-wrn-10-2"
    default_student = "wrn-10-1"
    default_natural_teacher = "digits-natural-wrn-10-1"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": BUDGET,
        "quick": {**BUDGET, "epochs": 4, "warmup_epochs": 1},
    }
    training_presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "default": TRAINING,
        "quick": {**TRAINING, "epochs": 6},
    }
    teacher_architecture = "wrn-10-2"
    teacher_recipe: ClassVar[Mapping[str, Any]] = {
        "epochs": 40,
        "batch_size": 64,
        "weight_decay": 5e-3,  # 897 images: ten times CIFAR-10's
        "ema": 0.99,
        "crop_padding": 0,  # a digit fills its 8 x 8 pixels: shifts cut it off and cost 1 to 5 points of PGD-20
    }

    def load(self, split: Literal["train", "test"]) -> LabelledImages:
        """The fixed stratified split; images are float32 multiples of 1/16.

        `digits.npz` holds what scikit-learn's `train_test_split` makes of its `load_digits` with 897 images to train on,
        stratified, with seed 0. It lies here since scikit-learn takes as long to import as PyTorch's optimisers.
        """
        import torch

        with as_file(files("dfrd_bench.datasets") / "digits.npz") as path:
            parts = read_arrays(path, f"{split}_images", f"{split}_labels", wanted=lambda name: False)
        images = torch.as_tensor(parts[f"{split}_images"], dtype=torch.float32)
        labels = torch.as_tensor(parts[f"{split}_labels"], dtype=torch.int64)
        return LabelledImages(images[:, None] / WHITE, labels)


class DigitsTuning(Digits):
    """digits, tested on the 897 training images: to choose by for who sees no data, so that no test image decides."""

    info = Digits.info.model_copy(update={"name": f"{Digits.info.name}{TUNING}"})

    def load(self, split: Literal["train", "test"]) -> LabelledImages:
        """The training images of `digits`, as those to test on.

        Raises:
            DfrdBenchError: images to train on are asked for.
        """
        if split == "train":
            raise DfrdBenchError(
                "digits-tuning has no images to train on, as it tests on the training images of digits: "
                "it is for methods that see no data."
            )
        return super().load("train")
