"""The verdict on an attacked image: which class the network gives it, and what counts when it gives none."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dfrd_bench.errors import DfrdBenchError, out_of_memory


class AttackWarning(UserWarning):
    """Something about an attack that belongs in the record."""


def verdict(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The predicted classes, and where there is no prediction.

    An image whose logits hold a NaN or an infinity has no prediction. It must not pass as correct, so it is given the class
    after its own; the caller says so in the record.

    Args:
        logits: [N, K].
        labels: true classes [N].

    Returns:
        classes [N] int64, and a mask [N] of the images without a prediction.
    """
    broken = ~logits.isfinite().all(dim=1)
    return torch.where(broken, (labels + 1) % logits.shape[1], logits.argmax(dim=1)), broken


class Judged(NamedTuple):
    """An attacked batch: the images [N, C, H, W], the logits [N, K] and the `verdict` on them."""

    x_adv: Tensor
    logits: Tensor
    classes: Tensor
    without: Tensor


def judge(perturb: Callable[[Tensor, Tensor], Tensor], model: nn.Module, x: Tensor, y: Tensor) -> Judged | None:
    """Attack a batch and ask the network for its verdict.

    Args:
        perturb: the attack, from images and labels to adversarial images.
        model: the network whose verdict counts.
        x: images [N, C, H, W].
        y: true classes [N].

    Returns:
        None where memory ran out and the batch can be divided.
    """
    try:
        x_adv = perturb(x, y).detach()
        with torch.no_grad():
            logits = model(x_adv)
        return Judged(x_adv, logits, *verdict(logits, y))
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error) or len(y) == 1:
            raise
        return None


def require_eval_mode(model: nn.Module) -> None:
    """Fail if any part of the network is in training mode: its BatchNorm would judge an image by its neighbours.

    Raises:
        DfrdBenchError: it is.
    """
    if any(module.training for module in model.modules()):
        raise DfrdBenchError("An attack needs the network in eval mode: call model.eval() first.")
