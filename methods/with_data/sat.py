"""SAT: standard adversarial training, cross-entropy on the student's own adversarial examples."""

from __future__ import annotations

from typing import cast

from dfrd_bench.distillation.adversaries import Start
from dfrd_bench.distillation.label_lessons import AdversarialLesson
from dfrd_bench.distillation.learner import AttackedConfig, LabelledConfig, Learner
from dfrd_bench.distillation.lessons import Lesson
from dfrd_bench.method import Reference, param

PAPER = "Madry et al. 2018"


class SATConfig(AttackedConfig, LabelledConfig):
    """SAT's hyper-parameters; the schedule is the shared recipe's."""

    attack_start: Start = param(
        "uniform", "student's adversary: from x + 0.001·N(0, I), or uniformly in the ball", PAPER
    )


class SAT(Learner):
    """SAT: standard adversarial training, no teacher."""

    Config = SATConfig
    has_teacher = False
    reference = Reference(
        "Towards Deep Learning Models Resistant to Adversarial Attacks", "ICLR 2018", "arXiv:1706.06083"
    )

    def make_lesson(self) -> Lesson:
        """The labels of adversarial images."""
        return AdversarialLesson(self.attack("label"), cast(SATConfig, self.config).label_smoothing)
