"""What bounds a step: how many kernels are launched, how long the device computes, and in what."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import torch
from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from .cases import Case
from .methods import shortened
from .trainers import ours, plain

KINDS = {  # by words in a kernel's name, the first kind of which one fits
    "convolution": "conv cudnn xmma cutlass implicit wgrad dgrad gemm winograd nchwtonhwc nhwctonchw",
    "BatchNorm": "batch_norm batchnorm bn_fw bn_bw",
    "reduction": "reduce softmax welford sort scan",
    "copy": "memcpy memset copy",
    "elementwise": "elementwise vectorized multi_tensor foreach addcmul index gather scatter",
}
LAUNCHES = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx", "cudaGraphLaunch")


def profiled(case: Case, method: str, *, steps: int) -> list[dict[str, Any]]:
    """The third epoch of a training of a few steps, of the plain recipe and of ours, seen by PyTorch's profiler.

    Returns:
        Two rows: launches per epoch (a replayed graph is one), how long the device computed as a share of the wall time
        without the profiler, and of that time the shares of kinds of kernels, or on a CPU of operations.
    """
    return [_profile(case, method, steps, make) for make in (plain, ours)]


def _profile(case: Case, method: str, steps: int, make: Any) -> dict[str, Any]:
    on_gpu = case.device.type == "cuda"
    with case.precision.backends():
        trainer = make(case, method, **shortened(steps, 4))
        for epoch in range(2):
            trainer.train_epoch(epoch)
        wall = _seconds(case, lambda: trainer.train_epoch(2))
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
        with profile(activities=activities) as seen:
            _seconds(case, lambda: trainer.train_epoch(3))
    events = seen.key_averages()
    launches = sum(event.count for event in events if event.key in LAUNCHES)
    times: Counter[str] = Counter()
    for event in events:
        if on_gpu == (event.device_type == DeviceType.CUDA):
            times[_kind(event.key)] += event.self_device_time_total if on_gpu else event.self_cpu_time_total
    busy = sum(times.values()) / 1e6
    shares = {kind: times[kind] / 1e6 / busy for kind in (*KINDS, "other")}
    name = f"{method}, {'plain' if make is plain else 'ours'}"
    return {
        "": name,
        "wall, s": wall,
        "launches": launches,
        "device busy, s": busy,
        "busy share": busy / wall,
        **shares,
    }


def _seconds(case: Case, work: Any) -> float:
    if case.device.type == "cuda":
        torch.cuda.synchronize(case.device)
    began = time.perf_counter()
    work()
    if case.device.type == "cuda":
        torch.cuda.synchronize(case.device)
    return time.perf_counter() - began


def _kind(kernel: str) -> str:
    name = kernel.lower()
    return next((kind for kind, words in KINDS.items() if any(word in name for word in words.split())), "other")
