"""GAIR-ARD (our reading): ARD, and images that withstand the attack for fewer steps weigh more."""

from __future__ import annotations

from typing import cast

from pydantic import model_validator

from dfrd_bench.distillation.instance_weighting import GeometryAware
from dfrd_bench.distillation.weighting import Weighting
from dfrd_bench.method import param

from .ard import ARD, ARDConfig
from .fair_ard import FAIR_ARD

PAPER = "GAIRAT (Zhang et al. 2021)"
RELEASED = "GAIRAT, released code"


class GAIRARDConfig(ARDConfig):
    """ARD's hyper-parameters, and GAIRAT's."""

    weigh_images: bool = param(True, "weigh images by how they withstand the attack; false is ARD", PAPER)
    slope: float = param(-1.0, "Λ: the larger, the more alike all weights are", RELEASED)
    begin: float = param(
        0.3, "share of the epochs after which images are weighted", f"{RELEASED}: epoch 60", ge=0, le=1
    )

    @model_validator(mode="after")
    def _by_image_or_by_class(self) -> GAIRARDConfig:
        if self.fair:
            raise ValueError("gair-ard weighs by image, and fair by class: take fair-ard for that")
        return self


class GAIRARD(ARD):
    """GAIR-ARD (our reading; no code was released): ARD with GAIRAT's weights image by image.

    Fair-ARD's paper compares with it (section 5.1, table 4) and says no more than that GAIRAT is applied to ARD. Here ω(x)
    multiplies ARD's loss of an image from the epoch on at which GAIRAT's released code begins. κ(x) comes from ARD's own attack.
    """

    Config = GAIRARDConfig
    reference = FAIR_ARD
    weighting: GeometryAware

    def make_weighting(self) -> Weighting:
        """GAIRAT's, image by image."""
        c = cast(GAIRARDConfig, self.config)
        return GeometryAware(c.attack_steps, c.slope)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """One pass over the training images."""
        c = cast(GAIRARDConfig, self.config)
        self.weighting.active = c.weigh_images and epoch >= round(c.begin * c.epochs)
        return super().train_epoch(epoch)
