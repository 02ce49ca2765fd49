"""FERD with every choice of its authors' released code where that differs from the paper, or the paper is silent."""

from __future__ import annotations

from typing import Any, Literal

from dfrd_bench.distillation.bottleneck import Ceiling, Variance
from dfrd_bench.distillation.distiller import MANY_CLASSES, RELEASED, DecayFrom
from dfrd_bench.distillation.reweighting import Strategy
from dfrd_bench.distillation.split import feature_layers, with_batchnorm
from dfrd_bench.method import Reference, param

from .ferd import FERD, FERDConfig

THIRD = ("block3", "layer3")  # what WideResNets and ResNets call their third stage


class FERDReleasedConfig(FERDConfig):
    """FERD's hyper-parameters with the released code's defaults; see docs/reproducibility.md for the list."""

    decay_from: DecayFrom = param("start", "where the cosine of lr begins: warmup's end, or start", RELEASED)
    conditional: bool = param(False, "append the one-hot label to the code: g(z, y)", RELEASED)
    reinitialise: bool = param(True, "a fresh generator for every synthesis round", RELEASED)
    loss: Literal["kl", "dkl"] = param("dkl", "divergence in L_adv: KL or decoupled KL", RELEASED)
    strategy: Strategy = param("minmax", "from vulnerability to class probabilities", RELEASED)
    margin_images: Literal["kept", "last"] = param(
        "last", "whose margins count: the kept batch's, or the last step's, augmented", RELEASED
    )
    absent_class: Literal["keep", "zero"] = param("zero", "D_c of a class without images", RELEASED)
    layer: str = param("released", "l: its --int_pop 3, the third stage and the BatchNorm behind it", RELEASED)
    bottleneck_ceiling: Ceiling = param("batch", "largest variance of the image, or batch", RELEASED)
    bottleneck_variance: Variance = param("unbiased", "v_c over the positions", RELEASED)
    utae: bool = param(False, "uniform-target adversarial examples on; off sets γ to 0", RELEASED)

    @classmethod
    def for_classes(cls, num_classes: int) -> dict[str, Any]:
        """Its scripts for CIFAR-100 and Tiny-ImageNet: a larger batch, and lr 0.2 (`test.sh`)."""
        return super().for_classes(num_classes) | ({"lr": 0.2} if num_classes >= MANY_CLASSES else {})


class FERDReleased(FERD):
    """FERD as its released code has it: min-max reweighting, decoupled KL, fresh generators, no uniform-target term."""

    Config = FERDReleasedConfig
    reference = Reference(FERD.reference.title, "ICLR 2026, released code", "https://github.com/mayaobuduyao/FERD")

    def split_layer(self) -> str:
        """A WideResNet's third block and last BatchNorm, before ReLU (`wideresnet_ifd.py:142-144`), PreActResNet: layer3."""
        if self.ferd.layer != "released":
            return self.ferd.layer
        layers = feature_layers(self.problem.teacher)
        third = [layer for layer in layers if layer.rpartition(".")[2] in THIRD]
        return with_batchnorm(self.problem.teacher, (third or layers)[-1])
