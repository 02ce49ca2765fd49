"""What stands in the teacher's place for a method that has none."""

from __future__ import annotations

from torch import Tensor, nn

from dfrd_bench.records.schema import NO_TEACHER
from dfrd_bench.teachers.base import Teacher


class NoTeacher(nn.Module):
    """Refuses to be asked, so that a method which says it has no teacher has none."""

    def forward(self, x: Tensor) -> Tensor:
        """Fails.

        Raises:
            TypeError: always.
        """
        raise TypeError("a method with has_teacher = False asked the teacher: there is none")


def nobody() -> Teacher:
    """The teacher of a method that has none."""
    return Teacher(NoTeacher().eval(), NO_TEACHER)
