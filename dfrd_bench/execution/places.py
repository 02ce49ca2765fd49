"""Where the runs of one machine go: a GPU or a share of it each, or some of its cores each."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.execution.attempts import THREADS
from dfrd_bench.execution.protocol import Means

GPUS = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Place:
    """Room for one run at a time: what a user calls it, and what its process finds in its environment."""

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)


def places_of(means: Means, device: str, gpus: Sequence[str]) -> tuple[list[Place], str]:
    """As many places as jobs are asked for and there is room for, and a line for the user where these are not as many.

    Args:
        means: what may be used.
        device: auto, cpu, cuda or cuda:N, as the requests say it.
        gpus: those of this machine, by the names that CUDA_VISIBLE_DEVICES takes; not looked at for the device cpu.

    Raises:
        DfrdBenchError: a GPU is asked for and there is none; or fewer jobs than one, or more of a GPU than all of it.
    """
    if means.jobs is not None and means.jobs < 1:
        raise DfrdBenchError(f"--jobs must be 1 or more, not {means.jobs}.")
    if not 0 < means.gpus_per_job <= 1:
        raise DfrdBenchError(
            f"--gpus-per-job must lie above 0 and be at most 1, not {means.gpus_per_job:g}: a run uses one."
        )
    if device.startswith("cuda") and not gpus:
        raise DfrdBenchError("CUDA was asked for, but PyTorch finds no CUDA device here: use --device cpu or auto.")
    if device == "cpu" or not gpus:
        return _on_cores(means)
    each = int(1 / means.gpus_per_job + 1e-9)
    chosen = [None] if ":" in device else list(gpus)  # of `cuda:1` the worker knows itself which it is
    room = [gpu for _ in range(each) for gpu in chosen]
    jobs = len(chosen) if means.jobs is None else means.jobs
    taken = room[:jobs]
    threads = _threads(means, max(1, means.cores // len(taken)))
    what = "1 GPU" if len(chosen) == 1 else f"{len(chosen)} GPUs"
    places = [
        Place(device if gpu is None else f"GPU {gpu}", threads | ({} if gpu is None else {GPUS: gpu})) for gpu in taken
    ]
    return places, fewer(jobs, len(taken), f"{what}, with {means.gpus_per_job:g} of one for each job")


def visible_gpus() -> list[str]:
    """The GPUs that PyTorch sees, by the names that CUDA_VISIBLE_DEVICES takes; they are counted without being used."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get(GPUS, "").split(",") if name.strip()]
    return named[:count] if len(named) >= count else [str(number) for number in range(count)]


def _on_cores(means: Means) -> tuple[list[Place], str]:
    jobs = means.jobs or 1
    taken = max(1, min(jobs, means.cores // (means.threads or 1)))
    threads = _threads(means, max(1, means.cores // taken))
    count = int(threads[THREADS[0]])
    cores = "1 core" if means.cores == 1 else f"{means.cores} cores"
    name = "1 thread" if count == 1 else f"{count} threads"
    return [Place(name, threads)] * taken, fewer(jobs, taken, f"{cores}, with {name} for each job")


def _threads(means: Means, share: int) -> dict[str, str]:
    """The environment of a process that has so many threads."""
    count = means.threads or (share if means.most_threads is None else min(share, means.most_threads))
    return dict.fromkeys(THREADS, str(count))


def fewer(jobs: int, taken: int, what: str) -> str:
    """A line for the user where not as many jobs as were asked for fit at once; empty where they do."""
    return f"{jobs} jobs do not fit at once: {taken} of them on {what}." if taken < jobs else ""
