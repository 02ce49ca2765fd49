"""ARD: the teacher's clean predictions at a high temperature, for the student's adversarial examples."""

from __future__ import annotations

from typing import Literal, cast

from dfrd_bench.distillation.adversaries import Start
from dfrd_bench.distillation.inner_attack import Mode
from dfrd_bench.distillation.learner import AttackedConfig, LabelledConfig, Learner
from dfrd_bench.distillation.lessons import Lesson
from dfrd_bench.distillation.teacher_lessons import ARDLesson
from dfrd_bench.method import Reference, param

PAPER = "Goldblum et al. 2020"
RELEASED = "Goldblum et al. 2020, released code"


class ARDConfig(AttackedConfig, LabelledConfig):
    """ARD's hyper-parameters."""

    attack_start: Start = param(
        "uniform", "student's adversary: from x + 0.001·N(0, I), or uniformly in the ball", RELEASED
    )
    attack_mode: Mode = param("train", "BatchNorm under attack: eval, or train, which moves its statistics", RELEASED)
    temperature: float = param(30.0, "τ, temperature of the distillation", RELEASED, gt=0)
    alpha: float = param(1.0, "α, weight of the distillation; 1 − α is that of the labels", RELEASED, ge=0, le=1)
    label_temperature: float | None = param(
        None, "temperature of the cross-entropy; τ when null (released: 1)", "Fair-ARD paper, eq. 2", gt=0
    )
    reduction: Literal["batchmean", "mean"] = param(
        "batchmean", "KL averaged over images, or over images × classes (released)", "Fair-ARD paper, eq. 2"
    )


class ARD(Learner):
    """ARD: adversarially robust distillation."""

    Config = ARDConfig
    reference = Reference("Adversarially Robust Distillation", "AAAI 2020", "arXiv:1905.09747")

    def make_lesson(self) -> Lesson:
        """The teacher's softened predictions; the attack drives the student away from the label."""
        c = cast(ARDConfig, self.config)
        return ARDLesson(
            self.attack("label"),
            temperature=c.temperature,
            alpha=c.alpha,
            label_temperature=c.label_temperature or c.temperature,
            reduction=c.reduction,
            smoothing=c.label_smoothing,
        )
