"""What a dataset entry point is: real images, opened by evaluation and teacher training only."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from dfrd_bench.problem import DatasetInfo, ThreatModel

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class LabelledImages:
    """Images of one split in memory.

    Attributes:
        images: [N, C, H, W]; uint8 (0 to 255) or float32 in [0, 1].
        labels: [N] int64.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def floats(self, index: slice | Tensor = slice(None)) -> Tensor:
        """The chosen images as float32 in [0, 1]."""
        chosen = self.images[index]
        return chosen.float() / 255 if chosen.dtype.is_floating_point is False else chosen

    def batches(self, size: int, device: torch.device) -> Iterator[tuple[int, Tensor, Tensor]]:
        """In order: (position of the first image, images as floats, labels) on the device."""
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield start, self.floats(part).to(device, non_blocking=True), self.labels[part].to(device)

    def digest(self) -> str:
        """sha256 over shape, type, pixels and labels: two sets with one digest are the same test set."""
        h = hashlib.sha256(f"{tuple(self.images.shape)} {self.images.dtype}".encode())
        h.update(self.images.contiguous().numpy().tobytes())
        h.update(self.labels.numpy().tobytes())
        return h.hexdigest()


class Dataset(ABC):
    """A labelled image dataset with the threat model, teacher, student and budgets that go with it.

    Attributes:
        info: name, image shape, class names.
        threat: the threat model of this dataset's tables.
        default_teacher: name in the teacher registry.
        default_student: name in the student registry.
        presets: named budgets (hyper-parameters by name) for `--preset`; must hold "default". "paper" is every method's
            own defaults and always exists.
        teacher_recipe: hyper-parameters of robust training (`TeacherConfig`) that differ here from its defaults.
    """

    info: DatasetInfo
    threat: ThreatModel
    default_teacher: ClassVar[str]
    default_student: ClassVar[str]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]]
    teacher_recipe: ClassVar[Mapping[str, Any]] = {}

    @abstractmethod
    def load(self, split: Literal["train", "test"]) -> LabelledImages:
        """The images of a split, always in the same order."""
