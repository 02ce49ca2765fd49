"""What a lesson is: from a batch with labels to a loss per image, which weights can act on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Batch:
    """What one step of the student is about.

    Attributes:
        x: images [N, C, H, W] in [0, 1], in the precision's memory layout.
        labels: their classes, [N].
        teacher_logits: f^T(x), [N, K]; None where there is no teacher.
    """

    x: Tensor
    labels: Tensor
    teacher_logits: Tensor | None = None

    @property
    def taught(self) -> Tensor:
        """The teacher's logits, of a lesson that needs them."""
        assert self.teacher_logits is not None, "this lesson needs a teacher"
        return self.teacher_logits


@dataclass(frozen=True)
class Attacked:
    """A batch under attack.

    Attributes:
        x: adversarial images [N, C, H, W].
        withstood: how many steps each image withstood, [N] in 0 … steps.
    """

    x: Tensor
    withstood: Tensor


@dataclass(frozen=True)
class PerImage:
    """What a lesson comes to, image by image.

    Attributes:
        terms: named losses [N], already weighted by the method's own constants.
        withstood: see `Attacked`; None for a lesson without an attack.
        adversarial: the student's logits on the adversarial images in the pass of the loss, detached, [N, K]; None where no
            method asks.
    """

    terms: dict[str, Tensor] = field(default_factory=dict)
    withstood: Tensor | None = None
    adversarial: Tensor | None = None


class Lesson(Protocol):
    """How a student learns from a batch with labels, wherever its images come from: an attack and a loss per image."""

    def __call__(self, student: nn.Module, batch: Batch, generator: torch.Generator) -> PerImage:
        """The student is in train mode; its passes move its BatchNorm statistics."""
