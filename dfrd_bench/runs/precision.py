"""`--precision auto`: float32 or bfloat16, whichever this machine is quicker in, by measurement."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from dfrd_bench.problem import Precision, PrecisionName

if TYPE_CHECKING:
    import torch
    from torch import nn

WORTH = 1.15  # how much quicker bfloat16 must be: it costs digits
REPETITIONS = 3
log = logging.getLogger(__name__)


def quicker(teacher: nn.Module, shape: tuple[int, int, int], batch: int, device: torch.device) -> PrecisionName:
    """bf16 where the hardware has units for it and a gradient through the teacher is quicker so, else fp32.

    Args:
        teacher: a frozen network on the device, in eval mode.
        shape: of an image, [C, H, W].
        batch: images at once, as the run will have them.
        device: what is measured.
    """
    from dfrd_bench.attacks.surrogate import has_bfloat16_units

    if not has_bfloat16_units(device):
        log.info("--precision auto: fp32, this device has no units for bfloat16.")
        return "fp32"
    names: tuple[PrecisionName, PrecisionName] = ("fp32", "bf16")
    seconds = {
        name: [seconds_of(teacher, shape, batch, device, name)] for name in names
    }  # the first is slow: not counted
    for _ in range(REPETITIONS):  # in turns, so that both meet the same load
        for name in names:
            seconds[name].append(seconds_of(teacher, shape, batch, device, name))
    ratio = min(seconds["fp32"][1:]) / min(seconds["bf16"][1:])
    chosen = names[ratio >= WORTH]
    log.info("--precision auto: %s, bf16 is %.2f times as fast as fp32 here.", chosen, ratio)
    return chosen


def seconds_of(
    teacher: nn.Module, shape: tuple[int, int, int], batch: int, device: torch.device, name: PrecisionName
) -> float:
    """Wall time of one gradient with respect to a batch of images."""
    import torch

    precision = Precision(name)
    images = torch.rand(batch, *shape, generator=torch.Generator().manual_seed(0)).to(device).requires_grad_()
    began = time.perf_counter()
    with precision.backends():
        torch.autograd.grad(precision.logits(teacher, images).logsumexp(dim=1).sum(), images)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began
