"""What a method is given: a teacher, a student, shapes and a threat model, and the training images where it says it sees them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

PrecisionName: TypeAlias = Literal["fp32", "tf32", "bf16"]
PrecisionChoice: TypeAlias = Literal["fp32", "tf32", "bf16", "auto"]
Sees: TypeAlias = Literal["nothing", "training images"]
"""What a method sees of a dataset: with "nothing" it is given a `Problem`, else a `TrainingProblem`."""


class ThreatModel(BaseModel):
    """The perturbations an attacker may add: an L∞ ball, clipped to the image range [0, 1]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    norm: Literal["Linf"] = "Linf"
    eps: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 8 / 255
    step: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 2 / 255


TUNING = "-tuning"
"""Ends the name of a dataset that tests on the training images of another, and has its teachers."""


class DatasetInfo(BaseModel):
    """What is known about a classification task without looking at any of its images.

    Attributes:
        name: the dataset's name.
        shape: (channels, height, width) of one image.
        class_names: one name per class, in label order.
        mirrored: whether an image flipped left to right is still an image of its class (false for digits).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    mirrored: bool = True

    @model_validator(mode="after")
    def _plausible(self) -> DatasetInfo:
        if min(self.shape) < 1:
            raise ValueError(f"shape must be positive, got {self.shape}")
        if len(self.class_names) < 2:
            raise ValueError("a classification task needs at least 2 classes")
        return self

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


@dataclass(frozen=True)
class Precision:
    """Arithmetic and memory layout of training: float32, TF32 matrix units, or bfloat16 autocast."""

    name: PrecisionName = "fp32"
    channels_last: bool = True

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """The context in which a forward pass runs at this precision."""
        import torch

        if self.name == "bf16":
            return torch.autocast(device.type, torch.bfloat16)
        return nullcontext()

    def logits(self, model: nn.Module, x: Tensor) -> Tensor:
        """A forward pass at this precision, [N, C, H, W] -> [N, K]; the logits in float32, in which losses are taken."""
        with self.autocast(x.device):
            logits: Tensor = model(self.images(x))
        return logits.float()

    @contextmanager
    def backends(self, *, same_shapes: bool = True) -> Iterator[None]:
        """PyTorch's global switches while a network is trained or evaluated, put back afterwards.

        TF32 units compute float32 matrices and convolutions in a `tf32` run and in no other (PyTorch's own default lets
        cuDNN use them).

        Args:
            same_shapes: batches have few sizes, so that cuDNN may measure which of its algorithms is quickest for each.
        """
        import torch

        cudnn, tf32 = torch.backends.cudnn, self.name == "tf32"
        before = torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        cudnn.allow_tf32, cudnn.benchmark = tf32, same_shapes
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before[0])
            cudnn.allow_tf32, cudnn.benchmark = before[1:]

    def place(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Move a model to the device in this precision's memory layout; returns the same module."""
        import torch

        if self.channels_last:
            return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
        return model.to(device)

    def images(self, x: Tensor) -> Tensor:
        """A batch of images [N, C, H, W] in this precision's memory layout."""
        import torch

        return x.contiguous(memory_format=torch.channels_last) if self.channels_last else x.contiguous()


@dataclass(frozen=True)
class Problem:
    """Everything a data-free method is given.

    There is no way from here to a training or test image: the dataset appears only as a `DatasetInfo`.

    Attributes:
        teacher: the robust teacher f^T, frozen (no gradients for its weights) and in eval mode; images in [0, 1] in, logits out.
        student: the student f^S to be trained, freshly initialised from `seed`.
        info: image shape, classes and their names.
        threat: the perturbations the student must withstand.
        device: where tensors live.
        precision: arithmetic of the training passes.
        seed: the seed every random draw of the method derives from.
    """

    teacher: nn.Module
    student: nn.Module
    info: DatasetInfo
    threat: ThreatModel
    device: torch.device
    precision: Precision
    seed: int

    @property
    def num_classes(self) -> int:
        return self.info.num_classes

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        return self.info.shape

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which forward passes run at the problem's precision."""
        return self.precision.autocast(self.device)


@dataclass(frozen=True)
class TrainingProblem(Problem):
    """What a method is given that sees the training images (`Method.sees`); its rows stand in tables of their own.

    Attributes:
        images: of the training split, [N, C, H, W] uint8, on the device.
        labels: their classes, [N] int64, on the device; every class is among them.
        natural_teacher: a second teacher, trained on clean images, frozen and in eval mode as the first; None for a method that
            does not ask for one (`Method.needs_natural_teacher`).
    """

    images: Tensor
    labels: Tensor
    natural_teacher: nn.Module | None = None
