"""How many threads PyTorch gets from a command, and how they wait: said to OpenMP, which listens before PyTorch is imported."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

COUNT = "OMP_NUM_THREADS"
OTHER_COUNTS = ("MKL_NUM_THREADS", "OMP_THREAD_LIMIT")
WAITING = "GOMP_SPINCOUNT"  # of GNU's OpenMP, which PyTorch uses on Linux
OTHER_WAITING = ("OMP_WAIT_POLICY", "KMP_BLOCKTIME")  # of any, and of LLVM's and Intel's
SPINS = 1000
CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
VERSION_2 = ("cpu.max",)
VERSION_1 = ("cpu.cfs_quota_us", "cpu.cfs_period_us")


def advise(environment: MutableMapping[str, str]) -> None:
    """Set what PyTorch's OpenMP reads when it is loaded, where its user has not.

    A thread that waits for the others spins a little and then sleeps. By default it spins on, and on a processor that somebody
    else needs too it spins away the time in which the one that it waits for would work (docs/performance.md, Threads). OpenMP
    counts the processors that a process may run on, but does not know how much of their time it is given: where that is
    less, there are as many threads as it is worth.
    """
    if not environment.keys() & {WAITING, *OTHER_WAITING}:
        environment[WAITING] = str(SPINS)
    share = processor_share(CGROUPS, OWN_CGROUPS)
    if share < processors() and not environment.keys() & {COUNT, *OTHER_COUNTS}:
        environment[COUNT] = str(max(1, math.ceil(share)))


def use(count: int) -> None:
    """Let PyTorch have so many threads, whether it is imported already or will be."""
    os.environ[COUNT] = str(count)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(count)


def cores() -> int:
    """How many processors a command may keep busy: those that it may run on, or fewer where it is granted less of their time."""
    share = processor_share(CGROUPS, OWN_CGROUPS)
    return processors() if math.isinf(share) else max(1, min(processors(), math.ceil(share)))


def processors() -> int:
    """How many processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_share(cgroups: Path, own: Path) -> float:
    """How many processors' time the control groups of this process grant it; infinite without a limit, or outside Linux.

    Args:
        cgroups: where the system shows them, of version 2 or 1.
        own: the file that names those of this process.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return math.inf
    shares = [math.inf]
    for _, controllers, name in (line.split(":", 2) for line in lines):
        files = VERSION_1 if controllers else VERSION_2
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = cgroups / "cpu" if controllers else cgroups
        group = top / name.lstrip("/")
        shares += [_share(folder, files) for folder in (group, *group.parents) if folder.is_relative_to(top)]
    return min(shares)


def _share(folder: Path, files: tuple[str, ...]) -> float:
    """What one group is granted: microseconds of processor time in so many of the clock's."""
    try:
        quota, period = " ".join((folder / name).read_text() for name in files).split()
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    except (OSError, ValueError):  # the file says "max", or there is none
        return math.inf
