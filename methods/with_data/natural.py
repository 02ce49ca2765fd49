"""Natural training: the student learns the labels of clean images, and nothing about attacks."""

from __future__ import annotations

from typing import cast

from dfrd_bench.distillation.label_lessons import NaturalLesson
from dfrd_bench.distillation.learner import LabelledConfig, Learner
from dfrd_bench.distillation.lessons import Lesson
from dfrd_bench.method import Reference


class Natural(Learner):
    """Natural: cross-entropy on clean images, no teacher; the row that shows what robustness costs."""

    Config = LabelledConfig
    has_teacher = False
    reference = Reference("Deep Residual Learning for Image Recognition", "CVPR 2016", "arXiv:1512.03385")

    def make_lesson(self) -> Lesson:
        """The labels of clean images."""
        return NaturalLesson(self.problem.precision, cast(LabelledConfig, self.config).label_smoothing)
