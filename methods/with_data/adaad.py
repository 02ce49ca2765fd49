"""AdaAD: student and teacher are attacked together, and the teacher is asked where they differ most."""

from __future__ import annotations

from dfrd_bench.distillation.adaptive_lessons import AdaADLesson
from dfrd_bench.distillation.learner import AttackedConfig, Learner
from dfrd_bench.distillation.lessons import Lesson
from dfrd_bench.method import Reference


class AdaADConfig(AttackedConfig):
    """AdaAD's hyper-parameters: those of the shared recipe."""


class AdaAD(Learner):
    """AdaAD: adaptive adversarial distillation, the attack goes through the teacher too."""

    Config = AdaADConfig
    asks_about_clean = False
    reference = Reference(
        "Boosting Accuracy and Robustness of Student Models via Adaptive Adversarial Distillation",
        "CVPR 2023",
        "https://openaccess.thecvf.com/content/CVPR2023/html/"
        "Huang_Boosting_Accuracy_and_Robustness_of_Student_Models_via_Adaptive_Adversarial_CVPR_2023_paper.html",
    )

    def make_lesson(self) -> Lesson:
        """The teacher's predictions on the adversarial images, which the attack drives the student away from."""
        return AdaADLesson(self.attack("gap"))
