"""What null comes to in the hyper-parameters that both halves of the harness share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dfrd_bench.distillation.augmentation import usual_padding
from dfrd_bench.problem import DatasetInfo, ThreatModel


def shared_nulls(values: Mapping[str, Any], info: DatasetInfo, threat: ThreatModel) -> dict[str, Any]:
    """The step of the student's adversary, the padding of crops and whether images are flipped, where they are null.

    Args:
        values: a method's hyper-parameters by name.
        info: of the dataset, whose images the threat model's step is also given for.
        threat: the threat model.
    """
    usual = {"attack_step": threat.step, "crop_padding": usual_padding(info.shape[1]), "flip": info.mirrored}
    return {name: value for name, value in usual.items() if name in values and values[name] is None}
