"""What a run needs beside its settings, as `prepare` asks for it: the device, teachers, and the training images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from dfrd_bench.problem import Precision
from dfrd_bench.runs.environment import choose_device
from dfrd_bench.runs.natural_teacher import load_natural_teacher
from dfrd_bench.runs.request import Request
from dfrd_bench.runs.training_split import load_training

if TYPE_CHECKING:
    import torch

    from dfrd_bench.datasets.base import Dataset
    from dfrd_bench.images import LabelledImages
    from dfrd_bench.teachers.base import Teacher


class Loading(Protocol):
    """Where devices, teachers and images come from: the real ones, or what stands in for them (`stand_ins`).

    Attributes:
        stood_in: what was asked for so far and is not the real thing, each in a few words.
    """

    stood_in: tuple[str, ...]

    def device(self, name: str) -> torch.device: ...
    def open(self, dataset: Dataset) -> None: ...
    def teacher(self, name: str, request: Request, dataset: Dataset, device: torch.device) -> Teacher: ...
    def natural(self, request: Request, dataset: Dataset, robust: Teacher, device: torch.device) -> Teacher: ...
    def training(self, dataset: Dataset, batch: int) -> LabelledImages: ...


class Real:
    """What there is, downloaded where it is not there yet."""

    stood_in: tuple[str, ...] = ()

    def device(self, name: str) -> torch.device:
        """The device of a name, which must be here."""
        return choose_device(name)

    def open(self, dataset: Dataset) -> None:
        """Nothing is looked at before it is needed."""

    def teacher(self, name: str, request: Request, dataset: Dataset, device: torch.device) -> Teacher:
        """The robust teacher of a name; `Precision` here is its memory layout only."""
        from dfrd_bench.teachers.base import load_teacher

        return load_teacher(name, dataset.info, architecture=request.teacher_arch, device=device, precision=Precision())

    def natural(self, request: Request, dataset: Dataset, robust: Teacher, device: torch.device) -> Teacher:
        """The natural one, see `load_natural_teacher`."""
        return load_natural_teacher(request, dataset, robust, device)

    def training(self, dataset: Dataset, batch: int) -> LabelledImages:
        """The training images, all of them."""
        return load_training(dataset)
