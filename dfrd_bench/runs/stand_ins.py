"""What a rehearsal takes for what is not here: networks with random weights, images of noise, and a CPU for a GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.images import LabelledImages
from dfrd_bench.runs.loading import Real
from dfrd_bench.runs.natural_teacher import natural_teacher_of
from dfrd_bench.runs.request import Request

if TYPE_CHECKING:
    import torch
    from torch import nn

    from dfrd_bench.datasets.base import Dataset
    from dfrd_bench.teachers.base import Teacher

BATCHES = 3  # of noise; a rehearsal takes no more steps


class StandIns(Real):
    """What is there, as it is; of what is not, something of the same size and shape, which costs as much.

    A file that the user names must be there, unless `missing_files` says that these are stood in for as well.

    Attributes:
        without_gpu: a GPU was asked for and there is none: the run is that of a GPU, and the CPU rehearses it.
    """

    def __init__(self, *, missing_files: bool = False) -> None:
        self.stood_in: tuple[str, ...] = ()
        self.missing_files = missing_files
        self.without_gpu = False

    def device(self, name: str) -> torch.device:
        """The device, or where CUDA is not here at all the CPU."""
        import torch

        self.without_gpu = name.partition(":")[0] == "cuda" and not torch.cuda.is_available()
        return super().device("cpu" if self.without_gpu else name)

    def open(self, dataset: Dataset) -> None:
        """Of a dataset whose classes stand in its files, made-up names."""
        if not dataset.at_hand:
            dataset.stand_in()

    def teacher(self, name: str, request: Request, dataset: Dataset, device: torch.device) -> Teacher:
        """The teacher, or a network of its architecture."""
        if (found := self._random(name, request.teacher_arch, dataset, device)) is not None:
            return found
        return super().teacher(name, request, dataset, device)

    def natural(self, request: Request, dataset: Dataset, robust: Teacher, device: torch.device) -> Teacher:
        """The natural teacher, or a network of its architecture."""
        name = natural_teacher_of(request, dataset)
        if (found := self._random(name, request.natural_teacher_arch, dataset, device)) is not None:
            return found
        return super().natural(request, dataset, robust, device)

    def training(self, dataset: Dataset, batch: int) -> LabelledImages:
        """The training images, or noise: a few batches of it, and some of every class."""
        import torch

        if dataset.at_hand:
            return super().training(dataset, batch)
        self._note("training images of noise")
        number = max(BATCHES * batch, 2 * dataset.num_classes)
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(256, (number, *dataset.info.shape), dtype=torch.uint8, generator=generator)
        return LabelledImages(images, torch.arange(number) % dataset.num_classes)

    def _random(self, name: str, architecture: str | None, dataset: Dataset, device: torch.device) -> Teacher | None:
        """A network with random weights for a teacher that is not there; None where it is."""
        from dfrd_bench.problem import Precision
        from dfrd_bench.records.schema import TeacherRecord
        from dfrd_bench.registry import TEACHERS
        from dfrd_bench.teachers.base import Teacher, shown_name, teacher_source

        argument = TEACHERS.parse(name)[1]
        source = teacher_source(name, dataset.task)
        if source.unfetched is None:
            if not self.missing_files or not source.takes_architecture or _is_file(argument):
                return None
            if architecture is None:
                raise DfrdBenchError(f"{name} is not there, and without --teacher-arch its cost is not known.")
            network, called = _built(architecture, dataset), architecture
        elif (found := source.unfetched(argument, dataset.info)) is not None:
            network, called = found
        else:
            return None
        self._note(f"{shown_name(name)} with random weights")
        model = Precision().place(network, device).eval().requires_grad_(False)
        return Teacher(model, TeacherRecord(name=shown_name(name), architecture=called, sha256=""))

    def _note(self, what: str) -> None:
        self.stood_in = tuple(dict.fromkeys((*self.stood_in, what)))


def _built(architecture: str, dataset: Dataset) -> nn.Module:
    from dfrd_bench.students.base import build_network

    return build_network(architecture, channels=dataset.info.shape[0], num_classes=dataset.info.num_classes, seed=1)


def _is_file(argument: str) -> bool:
    from dfrd_bench.records.files import expanded

    return expanded(argument).exists()
