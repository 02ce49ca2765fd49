"""The training images, for methods that say they see them."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import Problem, TrainingProblem

if TYPE_CHECKING:
    from torch import nn

    from dfrd_bench.datasets.base import Dataset


def load_training(dataset: Dataset) -> LabelledImages:
    """The images that a method may be trained on, uint8; a grey level that is no multiple of 1/255 becomes the nearest.

    Raises:
        DfrdBenchError: the dataset has no training split, or a class has no image in it.
    """
    import torch

    images = dataset.load("train")
    for label, name in enumerate(dataset.info.class_names):
        if not bool((images.labels == label).any()):
            raise DfrdBenchError(
                f"The training split of {dataset.task} has no image of the class {name!r}: "
                "a method that sees the training images needs some of every class."
            )
    if images.images.dtype == torch.uint8:
        return images
    return LabelledImages((images.images * 255).round().to(torch.uint8), images.labels)


def with_training(
    problem: Problem, images: LabelledImages, natural_teacher: nn.Module | None = None
) -> TrainingProblem:
    """The problem, the training images on its device, and the natural teacher where there is one."""
    known = {field.name: getattr(problem, field.name) for field in fields(problem)}
    device = problem.device
    return TrainingProblem(
        **known, images=images.images.to(device), labels=images.labels.to(device), natural_teacher=natural_teacher
    )
