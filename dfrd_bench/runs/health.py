"""What the harness needs of a machine and its installation: what is there, and how to mend what is not."""

from __future__ import annotations

import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from dfrd_bench._version import __version__
from dfrd_bench.errors import asked_to_stop, in_a_line
from dfrd_bench.registry import OWN_DISTRIBUTION, REGISTRIES

OLDEST_PYTHON = (3, 10)
LEAST_FREE = 1 << 30  # bytes
REQUIREMENT = re.compile(r"([\w.-]+)\s*(?:\[.*\])?\s*([^;]*)")
BOUND = re.compile(r"(>=|<)\s*([\d.]+)")


@dataclass(frozen=True)
class Finding:
    """What one look found.

    Attributes:
        name: what was looked at.
        found: what is there.
        fix: what to do; empty where all is well.
    """

    name: str
    found: str
    fix: str = ""


def examined(results: Path, processors: float) -> Iterator[Finding]:
    """Every finding, one after the other; a look that fails is one.

    Args:
        results: the folder of all results.
        processors: how many this process is granted.
    """
    looks: dict[str, Callable[[], Iterator[Finding]]] = {
        "python": _python,
        "packages": _packages,
        "device": _device,
        "threads": lambda: _threads(processors),
        "folders": lambda: _folders(results),
        "plugins": _plugins,
        "robustbench": _robustbench,
    }
    for name, look in looks.items():
        try:
            yield from look()
        except BaseException as error:
            if asked_to_stop(error):
                raise
            yield Finding(name, in_a_line(error), "see what this error says: what was looked at does not work")


def _python() -> Iterator[Finding]:
    wanted = ".".join(map(str, OLDEST_PYTHON))
    fix = "" if sys.version_info >= OLDEST_PYTHON else f"install Python {wanted} or newer"
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}, with dfrd-bench {__version__}", fix)


def _packages() -> Iterator[Finding]:
    there: dict[str, str] = {}
    for line in metadata.requires(OWN_DISTRIBUTION) or ():
        name, bounds = REQUIREMENT.match(line).groups()  # type: ignore[union-attr]  # anything matches
        if "extra ==" in line:
            continue
        try:
            there[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding("packages", f"{name} is not installed", f'pip install "{name}{bounds.strip()}"')
            continue
        if not fits(there[name], bounds):
            found = f"{name} is {there[name]}, and {bounds.strip()} is needed"
            yield Finding("packages", found, f'pip install "{name}{bounds.strip()}"')
    shown = ", ".join(f"{name} {there[name]}" for name in ("torch", "torchvision", "numpy") if name in there)
    yield Finding("packages", f"{len(there)} of those that are needed, among them {shown}")


def fits(version: str, bounds: str) -> bool:
    """Whether a version lies within bounds such as `>=68,<81`, by the numbers it begins with."""

    def numbers(text: str) -> list[int]:
        found = re.match(r"[\d.]+", text)
        return [int(part) for part in (found[0] if found else "0").split(".") if part]

    here = numbers(version)
    for sign, bound in BOUND.findall(bounds):
        length = max(len(here), len(numbers(bound)))
        ours, theirs = ([*part, *[0] * (length - len(part))] for part in (here, numbers(bound)))
        if (ours < theirs) is (sign == ">="):
            return False
    return True


def _device() -> Iterator[Finding]:
    import torch

    from dfrd_bench.attacks.surrogate import has_bfloat16_units

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda":
        float(torch.ones(1, device=device) + 1)  # built for this one?
        free, total = (size / 2**30 for size in torch.cuda.mem_get_info())
        yield Finding(
            "device", f"{torch.cuda.get_device_name()}, {free:.0f} of {total:.0f} GiB free, CUDA {torch.version.cuda}"
        )
    elif shutil.which("nvidia-smi"):
        fix = "install the driver, and the PyTorch, for the same CUDA: see pytorch.org/get-started"
        yield Finding("device", f"an NVIDIA driver, and PyTorch {torch.__version__} finds no GPU", fix)
    else:
        yield Finding("device", f"cpu ({platform.machine()}); PyTorch finds no GPU")
    quick = "has units" if has_bfloat16_units(device) else "has no units"
    yield Finding("precision", f"fp32 (evaluation always is); {device.type} {quick} for bf16")


def _threads(processors: float) -> Iterator[Finding]:
    import torch

    count = torch.get_num_threads()
    fix = "" if count <= max(1, processors) + 0.5 else f"--threads {max(1, int(processors))}, or set OMP_NUM_THREADS"
    yield Finding("threads", f"{count}, for {processors:g} processors", fix)


def _folders(results: Path) -> Iterator[Finding]:
    from dfrd_bench.datasets.download import CACHE_VARIABLE, cache_folder
    from dfrd_bench.teachers.robustbench_files import FOLDER_VARIABLE, models_folder

    places: dict[str, tuple[Callable[[], Path], str]] = {
        "results": (lambda: results, "--results"),
        "downloads": (cache_folder, CACHE_VARIABLE),
        "models": (models_folder, FOLDER_VARIABLE),
        "temporary": (lambda: Path(tempfile.gettempdir()), "TMPDIR"),
    }
    for name, (place, option) in places.items():
        fix = f"name another folder with {option}"
        try:
            folder = place().absolute()
            existing = next(part for part in (folder, *folder.parents) if part.exists())
            with tempfile.TemporaryFile(dir=existing) as probe:
                probe.write(b"x")
                probe.flush()
            free = shutil.disk_usage(existing).free
        except Exception as error:
            yield Finding(name, f"cannot be written: {in_a_line(error)}", fix)
            continue
        short = free < LEAST_FREE
        yield Finding(name, f"{folder}, {free / 2**30:.1f} GiB free", f"make room, or {fix}" if short else "")


def _plugins() -> Iterator[Finding]:
    count: dict[str, int] = {}
    for kind, registry in REGISTRIES.items():
        for entry in registry.entries():
            if entry.problem:
                name = entry.distribution.split()[0]
                fix = f"mend or update {name}, or pip uninstall {name}"
                yield Finding("plugins", f"{registry.kind} {entry.name} of {entry.distribution} {entry.problem}", fix)
            else:
                count[kind] = count.get(kind, 0) + 1
    yield Finding("plugins", ", ".join(f"{number} {kind}" for kind, number in count.items()))


def _robustbench() -> Iterator[Finding]:
    from dfrd_bench.errors import DfrdBenchError
    from dfrd_bench.teachers.robustbench_import import robustbench

    try:
        robustbench("utils")
    except DfrdBenchError as error:
        yield Finding("robustbench", str(error), "do without robustbench: teachers, or install what it says")
        return
    yield Finding("robustbench", f"{metadata.version('robustbench')} can be imported")
