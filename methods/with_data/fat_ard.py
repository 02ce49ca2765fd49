"""FAT-ARD (our reading): ARD, and the losses of the classes shall not vary."""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor

from dfrd_bench.distillation.lessons import PerImage
from dfrd_bench.method import param

from .ard import ARD, ARDConfig
from .fair_ard import FAIR_ARD

PAPER = "FAT (Ma et al. 2022)"
SLOTS = 100  # of the released code's class vector, whatever the dataset
Variance = Literal["present", "released"]


class FATARDConfig(ARDConfig):
    """ARD's hyper-parameters, and FAT's."""

    variance_weight: float = param(0.1, "weight of the variance of the classes' losses; 0 is ARD", PAPER, ge=0)
    variance: Variance = param(
        "present", "over the classes in the batch, or over 100 slots of which the others are 0 (released)", PAPER
    )


class FATARD(ARD):
    """FAT-ARD (our reading; no code was released): ARD, and a penalty on the variance of the classes' losses.

    Fair-ARD's paper compares with it (section 5.2, table 4) without details. Here a class's loss is the mean of ARD's over
    its images in the batch.
    """

    Config = FATARDConfig
    reference = FAIR_ARD

    def batch_terms(self, labels: Tensor, found: PerImage) -> dict[str, Tensor]:
        """The variance, times its weight."""
        c = cast(FATARDConfig, self.config)
        if not c.variance_weight:
            return {}
        losses = torch.stack(list(found.terms.values())).sum(dim=0)
        return {"variance": c.variance_weight * class_variance(losses, labels, self.problem.num_classes, c.variance)}


def class_variance(losses: Tensor, labels: Tensor, num_classes: int, over: Variance) -> Tensor:
    """Unbiased variance of the classes' mean losses: [N] and labels [N] -> scalar.

    Args:
        losses: of images.
        labels: their classes.
        num_classes: K.
        over: the classes "present" (0 where there is one), or as "released" (FAT's `pgd_var.py:83, 98`) over a vector of 100
            entries, in which absent classes, and those that do not exist, count as 0.
    """
    slots = max(SLOTS, num_classes) if over == "released" else num_classes
    count = torch.zeros(slots, device=losses.device).index_add(0, labels, torch.ones_like(losses))
    means = torch.zeros(slots, device=losses.device).index_add(0, labels, losses) / count.clamp(min=1)
    counted = (count > 0).float() if over == "present" else torch.ones_like(count)  # no choice that waits for a GPU
    mean = (counted * means).sum() / counted.sum()
    return (counted * (means - mean).square()).sum() / (counted.sum() - 1).clamp(min=1)
