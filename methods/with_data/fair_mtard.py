"""Fair-MTARD: MTARD, and the classes that withstand the attack for fewer steps weigh more."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, cast

from dfrd_bench.distillation.learner import FAIR, FAIR_RELEASED
from dfrd_bench.distillation.two_teachers import MTARDLesson
from dfrd_bench.method import param

from .fair_ard import FAIR_ARD
from .mtard import MTARD, MTARDConfig


class FairMTARDConfig(MTARDConfig):
    """MTARD's hyper-parameters, with fair set."""

    fair: bool = param(True, "weigh images by how hard their class is; false is MTARD", FAIR)
    nat_target: Literal["natural", "released"] = param(
        "natural",
        "who teaches the clean image: the natural teacher, or (released) the robust one, by its adversarial predictions",
        FAIR_RELEASED,
    )


class FairMTARD(MTARD):
    """Fair-MTARD: MTARD with class weights κ^−β."""

    Config = FairMTARDConfig
    reference = FAIR_ARD

    def make_lesson(self) -> MTARDLesson:
        """MTARD's, or the released code's, in which the natural teacher is asked and not heard (`Fair-MTARD.py:134, 144`)."""
        lesson, released = super().make_lesson(), cast(FairMTARDConfig, self.config).nat_target == "released"
        return replace(lesson, natural=None) if released else lesson
