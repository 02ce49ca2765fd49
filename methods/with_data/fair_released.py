"""Fair-ARD, -IAD, -RSLAD and -MTARD with every choice of their authors' released code where that differs from the paper."""

from __future__ import annotations

from typing import Literal

from dfrd_bench.distillation.endurance import Count
from dfrd_bench.distillation.learner import FAIR_RELEASED, Shares
from dfrd_bench.distillation.weighting import Clamp, Sizes
from dfrd_bench.method import Reference, param

from .fair_ard import FAIR_ARD, FairARD, FairARDConfig
from .fair_iad import FairIAD, FairIADConfig
from .fair_mtard import FairMTARD, FairMTARDConfig
from .fair_rslad import FairRSLAD, FairRSLADConfig

CODE = Reference(FAIR_ARD.title, "NeurIPS 2023, released code", "https://github.com/NISP-official/Fair-ARD")
NESTEROV: bool = param(True, "Nesterov's momentum", FAIR_RELEASED)
CLAMP: Clamp = param("released", "weights cut to [5/6, 5/2]", FAIR_RELEASED)
COUNT: Count = param("all", "steps that count: all before which the image is right, or before the first", FAIR_RELEASED)
SIZES: Sizes = param("equal", "κ as if all classes were equal in size, or by a class's own", FAIR_RELEASED)
ONCE: Shares = param((0.5,), "after which shares of the epochs lr falls: the second fall does nothing", FAIR_RELEASED)
Mean = Literal["batchmean", "mean"]
MEAN: Mean = param("mean", "KL averaged over images × classes, or over images", FAIR_RELEASED)


class FairARDReleasedConfig(FairARDConfig):
    """Fair-ARD's hyper-parameters with the released code's defaults; see docs/reproducibility.md for the list."""

    nesterov: bool = NESTEROV
    clamp: Clamp = CLAMP
    count: Count = COUNT
    sizes: Sizes = SIZES
    decay_at: Shares = ONCE
    reduction: Mean = MEAN
    label_temperature: float | None = param(1.0, "temperature of the cross-entropy; τ when null", FAIR_RELEASED, gt=0)


class FairARDReleased(FairARD):
    """Fair-ARD as its released code has it: clamped weights, Nesterov, a single fall of lr, KL by classes too."""

    Config = FairARDReleasedConfig
    reference = CODE


class FairIADReleasedConfig(FairIADConfig):
    """Fair-IAD's hyper-parameters with the released code's defaults."""

    nesterov: bool = NESTEROV
    clamp: Clamp = CLAMP
    count: Count = COUNT
    sizes: Sizes = SIZES
    decay_at: Shares = ONCE


class FairIADReleased(FairIAD):
    """Fair-IAD as its released code has it: clamped weights, Nesterov, a single fall of lr."""

    Config = FairIADReleasedConfig
    reference = CODE


class FairRSLADReleasedConfig(FairRSLADConfig):
    """Fair-RSLAD's hyper-parameters with the released code's defaults."""

    nesterov: bool = NESTEROV
    clamp: Clamp = CLAMP
    count: Count = COUNT
    sizes: Sizes = SIZES
    reduction: Mean = MEAN


class FairRSLADReleased(FairRSLAD):
    """Fair-RSLAD as its released code has it: clamped weights, Nesterov, KL averaged over classes too."""

    Config = FairRSLADReleasedConfig
    reference = CODE


class FairMTARDReleasedConfig(FairMTARDConfig):
    """Fair-MTARD's hyper-parameters with the released code's defaults."""

    nesterov: bool = NESTEROV
    clamp: Clamp = CLAMP
    count: Count = COUNT
    sizes: Sizes = SIZES
    reduction: Mean = MEAN
    nat_target: Literal["released"] = param(
        "released", "who teaches the clean image: the robust teacher, by its adversarial predictions", FAIR_RELEASED
    )


class FairMTARDReleased(FairMTARD):
    """Fair-MTARD as its released code has it: no natural teacher, clamped weights, Nesterov, KL averaged over classes too."""

    Config = FairMTARDReleasedConfig
    needs_natural_teacher = False  # asked for there, and its answer is not used
    reference = CODE
