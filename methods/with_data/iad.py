"""IAD: where the teacher is unsure of an adversarial image, the student asks itself about the clean one."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from dfrd_bench.distillation.adversaries import Start
from dfrd_bench.distillation.inner_attack import Mode
from dfrd_bench.distillation.learner import AttackedConfig, Learner
from dfrd_bench.distillation.lessons import Lesson
from dfrd_bench.distillation.teacher_lessons import IADLesson
from dfrd_bench.method import Reference, param

RELEASED = "Zhu et al. 2022, released code (IAD-I)"


class IADConfig(AttackedConfig):
    """IAD's hyper-parameters, those of IAD-I, which builds on ARD."""

    attack_start: Start = param(
        "uniform", "student's adversary: from x + 0.001·N(0, I), or uniformly in the ball", RELEASED
    )
    attack_mode: Mode = param("train", "BatchNorm under attack: eval, or train, which moves its statistics", RELEASED)
    temperature: float = param(1.0, "τ, temperature of the distillation", RELEASED, gt=0)
    trust_exponent: float = param(0.1, "the teacher is trusted by p_y(x_adv) to this power", RELEASED, ge=0)
    begin: float = param(0.3, "share of the epochs after which the student asks itself", RELEASED, ge=0, le=1)
    partial_trust: bool = param(False, "weigh the teacher's term by that trust as well", "option")


class IAD(Learner):
    """IAD: introspective adversarial distillation (IAD-I), where reliable teachers are trusted."""

    Config = IADConfig
    reference = Reference("Reliable Adversarial Distillation with Unreliable Teachers", "ICLR 2022", "arXiv:2106.04928")

    def make_lesson(self) -> IADLesson:
        """The teacher, and the student itself; the attack drives the student away from the label."""
        c = cast(IADConfig, self.config)
        return IADLesson(
            self.attack("label"),
            temperature=c.temperature,
            exponent=c.trust_exponent,
            partial_trust=c.partial_trust,
        )

    def lesson_at(self, epoch: int) -> Lesson:
        """Without introspection in the first epochs."""
        begins = round(cast(IADConfig, self.config).begin * self.recipe.epochs)
        return replace(cast(IADLesson, self.lesson), introspection=epoch >= begins)
