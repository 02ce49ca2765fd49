"""How quick devices are, for a first estimate from operations: a small table of GPUs, and a convolution timed for any other.

Peaks are dense ones, in units of 10¹² floating-point operations a second, from NVIDIA's data sheets and architecture papers: H100
SXM (H100 Tensor Core GPU datasheet), A100 SXM (A100 Tensor Core GPU datasheet), RTX 4090 (Ada GPU Architecture, appendix A), RTX
3090 (Ampere GA102 GPU Architecture, table 2; bfloat16 with float32 accumulation), T4 (T4 datasheet; no bfloat16 or TF32 units).

What programs get of them is less: 0.18 on an H100, as measured (docs/performance.md, On a GPU), by operations counted as in
`guess`. PGD-20 of wrn-16-2 in float32 attacks 1,420 images a second, each by 20 gradients and a query of 0.202 GFLOP a pass:
11.8 of 66.9. The papers' run of FERD in bfloat16, 1.35 EFLOP, takes 2.1 hours: 178 of 989. Small networks get less still, as
they wait for launches (`forecast.LEAST_STEP`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dfrd_bench.problem import PrecisionName

if TYPE_CHECKING:
    import torch

TERA = 1e12
SHARE = 0.18
CPU_SHARE = 0.5  # of what the timed convolution gets: there is more to a step than its convolutions
TRIAL_SECONDS = 0.3


@dataclass(frozen=True)
class Device:
    """A GPU by name, with its peaks in 10¹² operations a second."""

    name: str
    fp32: float
    tf32: float
    bf16: float

    def rate(self, precision: PrecisionName) -> float:
        """Operations a second that a run may count on."""
        peak: float = getattr(self, precision)
        return SHARE * peak * TERA


GPUS = (
    Device("H100", 66.9, 494.7, 989.4),
    Device("A100", 19.5, 156, 312),
    Device("RTX 4090", 82.6, 82.6, 165.2),
    Device("RTX 3090", 35.6, 35.6, 71),
    Device("T4", 8.1, 8.1, 8.1),
)
TYPICAL = ("H100", "A100", "RTX 4090", "RTX 3090")
"""Those that estimates name."""


@dataclass(frozen=True)
class Rate:
    """What a device is taken to do.

    Attributes:
        training: operations a second at a run's precision.
        evaluation: in float32.
        source: where these are from.
    """

    training: float
    evaluation: float
    source: str


def known_gpu(name: str) -> Device | None:
    """The entry of the table for a GPU as PyTorch calls it ("NVIDIA H100 80GB HBM3")."""
    return next((gpu for gpu in GPUS if gpu.name in name), None)


def rate_of(device: torch.device, precision: PrecisionName) -> Rate:
    """What a device is taken to do: from the table, or from a convolution that is timed now."""
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    if (gpu := known_gpu(name)) is not None:
        return Rate(gpu.rate(precision), gpu.rate("fp32"), f"{SHARE:.0%} of {gpu.name}'s peak")
    measured = CPU_SHARE * timed_convolution(device)
    return Rate(measured, measured, f"half of what a convolution gets here, {2 * measured / 1e9:,.0f} GFLOP/s")


def timed_convolution(device: torch.device, seconds: float = TRIAL_SECONDS) -> float:
    """Operations a second of a 3×3 convolution, 64 to 64 channels on 32×32 pixels, in float32."""
    import torch

    layer = torch.nn.Conv2d(64, 64, 3, padding=1, bias=False).to(device)
    x = torch.rand(8, 64, 32, 32, device=device)
    operations = 2.0 * 9 * 64 * 64 * 32 * 32 * 8
    with torch.no_grad():
        layer(x)
        done, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < seconds:
            layer(x)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            done += 1
    return done * operations / spent
