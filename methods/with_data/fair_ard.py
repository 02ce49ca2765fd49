"""Fair-ARD: ARD, and the classes that withstand the attack for fewer steps weigh more."""

from __future__ import annotations

from dfrd_bench.distillation.learner import FAIR
from dfrd_bench.method import Reference, param

from .ard import ARD, ARDConfig

FAIR_ARD = Reference(
    "Revisiting Adversarial Robustness Distillation from the Perspective of Robust Fairness",
    "NeurIPS 2023",
    "https://papers.nips.cc/paper_files/paper/2023/hash/6111371a868af8dcfba0f96ad9e25ae3-Abstract-Conference.html",
)
"""The paper of all three fair versions."""


class FairARDConfig(ARDConfig):
    """ARD's hyper-parameters, with fair set."""

    fair: bool = param(True, "weigh images by how hard their class is; false is ARD", FAIR)


class FairARD(ARD):
    """Fair-ARD: ARD with class weights κ^−β."""

    Config = FairARDConfig
    reference = FAIR_ARD
