"""Fair-IAD: IAD, and the classes that withstand the attack for fewer steps weigh more."""

from __future__ import annotations

from dfrd_bench.distillation.learner import FAIR
from dfrd_bench.method import param

from .fair_ard import FAIR_ARD
from .iad import IAD, IADConfig


class FairIADConfig(IADConfig):
    """IAD's hyper-parameters, with fair set."""

    fair: bool = param(True, "weigh images by how hard their class is; false is IAD", FAIR)


class FairIAD(IAD):
    """Fair-IAD: IAD with class weights κ^−β."""

    Config = FairIADConfig
    reference = FAIR_ARD
