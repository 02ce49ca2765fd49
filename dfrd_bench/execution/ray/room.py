"""How much of a Ray cluster each run gets, and how many fit at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.execution.places import fewer
from dfrd_bench.execution.protocol import Means

Resources = Mapping[str, float]


@dataclass(frozen=True)
class Room:
    """What each run declares to Ray, and how many may be begun at once.

    Attributes:
        threads: of each run, and the CPUs that it declares.
        gpus: that it declares.
        jobs: at once; None: as many as Ray finds room for.
        said: a line for the user, where these are not as many as were asked for.
    """

    threads: int
    gpus: float
    jobs: int | None
    said: str = ""


def room_in(nodes: Sequence[Resources], means: Means, device: str) -> Room:
    """What each run gets: a GPU or a part of one where there are any and they are not refused, and threads.

    So many threads as are asked for; else those of the node with the fewest per GPU; without GPUs, the cluster's divided among
    the jobs, but no more than a node has.

    Args:
        nodes: what each has of `CPU` and `GPU`.
        means: see `Means`; `cores` are of this machine, and say nothing here.
        device: as the requests say it.

    Raises:
        DfrdBenchError: a GPU is asked for and there is none; or no node has room for a run.
    """
    if ":" in device:
        raise DfrdBenchError(f"Ray says which GPU a run gets: --device cuda, not {device}.")
    if not 0 < means.gpus_per_job <= 1:
        raise DfrdBenchError(
            f"--gpus-per-job must lie above 0 and be at most 1, not {means.gpus_per_job:g}: a run uses one."
        )
    with_gpu = [node for node in nodes if node.get("GPU", 0) >= 1]
    if device == "cuda" and not with_gpu:
        raise DfrdBenchError("CUDA was asked for, but no node of the Ray cluster has a GPU: use --device cpu or auto.")
    gpus = means.gpus_per_job if with_gpu and device != "cpu" else 0.0
    usable = with_gpu if gpus else list(nodes)
    threads = means.threads or _share(usable, gpus, means)
    fit = sum(_fitting(node, threads, gpus) for node in usable)
    each = f"{threads} CPU{'s' * (threads > 1)}" + (f" and {gpus:g} of a GPU" if gpus else "")
    if not fit:
        raise DfrdBenchError(f"No node of the Ray cluster has {each} for a run: say --threads with a smaller number.")
    jobs = means.jobs
    return Room(threads, gpus, jobs and min(jobs, fit), fewer(jobs or 0, fit, f"the cluster, with {each} for each"))


def _share(nodes: Sequence[Resources], gpus: float, means: Means) -> int:
    most = min((int(node.get("CPU", 0)) for node in nodes), default=1)
    if gpus:
        share = min(int(node.get("CPU", 0) * gpus / node["GPU"]) for node in nodes)
    else:
        share = int(sum(node.get("CPU", 0) for node in nodes)) // means.jobs if means.jobs else 1
    share = max(1, min(share, most))
    return share if means.most_threads is None else min(share, means.most_threads)


def _fitting(node: Resources, threads: int, gpus: float) -> int:
    by_cpus = int(node.get("CPU", 0) // threads)
    return min(by_cpus, int(node.get("GPU", 0)) * int(1 / gpus + 1e-9)) if gpus else by_cpus
