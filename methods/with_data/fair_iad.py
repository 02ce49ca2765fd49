"""Fair-IAD: IAD, and the classes that withstand the attack for fewer steps weigh more."""

from __future__ import annotations

from dfrd_bench.distillation.learner import FAIR
from dfrd_bench.method import Reference, param

from .iad import IAD, IADConfig


class FairIADConfig(IADConfig):
    """IAD's hyper-parameters, with fair set."""

    fair: bool = param(True, "weigh images by how hard their class is; false is IAD", FAIR)


class FairIAD(IAD):
    """Fair-IAD: IAD with class weights κ^−β."""

    Config = FairIADConfig
    reference = Reference(
        "Revisiting Adversarial Robustness Distillation from the Perspective of Robust Fairness",
        "NeurIPS 2023",
        "https://papers.nips.cc/paper_files/paper/2023/hash/6111371a868af8dcfba0f96ad9e25ae3-Abstract-Conference.html",
    )
