"""FERD with every choice of its authors' released code where that differs from the paper."""

from __future__ import annotations

from typing import Literal

from dfrd_bench.distillation.bottleneck import Ceiling
from dfrd_bench.distillation.distiller import RELEASED
from dfrd_bench.distillation.reweighting import Strategy
from dfrd_bench.method import param

from .ferd import FERD, FERDConfig


class FERDReleasedConfig(FERDConfig):
    """FERD's hyper-parameters with the released code's defaults; see docs/reproducibility.md for the list."""

    conditional: bool = param(False, "append the one-hot label to the code: g(z, y)", RELEASED)
    reinitialise: bool = param(True, "a fresh generator for every synthesis round", RELEASED)
    loss: Literal["kl", "dkl"] = param("dkl", "divergence in L_adv: KL or decoupled KL", RELEASED)
    strategy: Strategy = param("minmax", "from vulnerability to class probabilities", RELEASED)
    bottleneck_ceiling: Ceiling = param("batch", "largest variance of the image, or batch", RELEASED)
    utae: bool = param(False, "uniform-target adversarial examples on; off sets γ to 0", RELEASED)


class FERDReleased(FERD):
    """FERD as its released code has it: min-max reweighting, decoupled KL, fresh generators, no uniform-target term."""

    Config = FERDReleasedConfig
