"""Fair-RSLAD: RSLAD, and the classes that withstand the attack for fewer steps weigh more."""

from __future__ import annotations

from dfrd_bench.distillation.learner import FAIR
from dfrd_bench.method import param

from .fair_ard import FAIR_ARD
from .rslad import RSLAD, RSLADConfig


class FairRSLADConfig(RSLADConfig):
    """RSLAD's hyper-parameters, with fair set."""

    fair: bool = param(True, "weigh images by how hard their class is; false is RSLAD", FAIR)


class FairRSLAD(RSLAD):
    """Fair-RSLAD: RSLAD with class weights κ^−β."""

    Config = FairRSLADConfig
    reference = FAIR_ARD
