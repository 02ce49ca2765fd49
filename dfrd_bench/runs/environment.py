"""Where a run happens: the device that was asked for, and what a record says about the machine."""

from __future__ import annotations

import logging
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.schema import EnvironmentRecord

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)
PACKAGES = ("dfrd-bench", "torch", "torchvision", "robustbench", "pyautoattack", "numpy")


def choose_device(name: str) -> torch.device:
    """The device for `auto`, `cpu` or `cuda` (with an index, `cuda:1`).

    Raises:
        DfrdBenchError: CUDA asked for and absent, or no such device.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DfrdBenchError(f"Unknown device {name!r}: choose auto, cpu or cuda.") from error
    if device.type not in ("cpu", "cuda"):
        raise DfrdBenchError(f"Device {name!r} is not supported: choose auto, cpu or cuda.")
    if device.type == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise DfrdBenchError("CUDA was asked for, but PyTorch finds no CUDA device here: use --device cpu or auto.")
    if device.index is not None and device.index >= torch.cuda.device_count():
        raise DfrdBenchError(f"There is no device {name!r}: PyTorch finds {torch.cuda.device_count()} CUDA devices.")
    if device.index is not None:
        torch.cuda.set_device(device)  # for libraries that put things on "the" GPU
    return device


def can_compile(device: torch.device) -> bool:
    """Whether `torch.compile` works on a device; where it does not, for want of a compiler, a warning says so."""
    import torch

    try:
        torch.compile(torch.Tensor.double)(torch.zeros(2, device=device))
    except Exception as error:  # of many types, by whatever is missing
        reason = " ".join(str(error).split())[:160]
        log.warning("--compile is left out, since PyTorch cannot compile for %s here: %s", device, reason)
        return False
    return True


def describe_environment(device: torch.device) -> EnvironmentRecord:
    """Package versions, device, and the Git commit of the harness where it runs from a checkout."""
    import torch

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})"
    return EnvironmentRecord(
        python=platform.python_version(),
        packages={package: found for package in PACKAGES if (found := _version(package))},
        device=name,
        threads=torch.get_num_threads(),
        platform=platform.platform(),
        git_commit=_git_commit(),
    )


def peak_memory(device: torch.device) -> int:
    """Bytes: the most the CUDA allocator held since the run began, or the process's largest size on a CPU (0: unknown)."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of the checkout this file lies in, with `+changes` when it was edited; None outside a checkout."""
    here = Path(__file__).resolve().parents[1]
    if not (here.parent / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(here), "describe", "--always", "--dirty=+changes", "--abbrev=12", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None
