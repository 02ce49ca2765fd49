"""Small jobs whose results are known, tried in processes of their own, and what is left of them compared bit for bit."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import sys
import time
import traceback
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.registry import METHODS
from dfrd_bench.runs.preparation import teacher_request
from dfrd_bench.runs.reevaluation import evaluate_run
from dfrd_bench.runs.request import Request
from dfrd_bench.runs.run import fulfil

from .points import at_every_write

SMALL = {
    "batch_size": 8,
    "warmup_epochs": 0,
    "synthesis_steps": 2,
    "distillation_steps": 2,
    "attack_steps": 2,
    "probe_steps": 2,
    "bottleneck_steps": 2,
    "generator_width": 8,
    "negatives": 8,
}
LARGE = 256  # images in a batch where a method goes through all the training images
EPOCHS, IMAGES, FEW_IMAGES = 3, 40, 20
ATTACKS = ("clean", "fgsm", "pgd20")
CHANCE = (
    "created",
    "seconds",
    "peak_memory_bytes",
    "git_commit",
)  # what is not the run's; somebody may commit meanwhile
LITTER = (".tmp", "lock", "state", "heartbeat")
TEACHER, EVALUATE, AUTOATTACK = "teacher", "evaluate", "autoattack"


@dataclass(frozen=True)
class Job:
    """A command on small things.

    Attributes:
        name: what a report calls it.
        work: does it, below a folder.
        before: what must have been done there first; nothing when None.
    """

    name: str
    work: Callable[[Path], object]
    before: Callable[[Path], object] | None = None


def request(method: str, results: Path, **changes: Any) -> Request:
    """A run of a few seconds at most."""
    chosen = METHODS.get(method)
    taken = chosen.Config.model_fields
    small = {**SMALL, "batch_size": LARGE} if chosen.sees == "training images" else SMALL
    usual = Request(
        method=method,
        settings={name: value for name, value in small.items() if name in taken},
        epochs=EPOCHS,
        test_images=IMAGES,
        attacks=ATTACKS,
        results=str(results),
        device="cpu",
    )
    return replace(usual, **changes)


def job(name: str) -> Job:
    """A method's run, `teacher` (training one), `evaluate` (of a finished run, by two more attacks), or `autoattack` (a run)."""
    if name == TEACHER:
        wanted = Request(settings={"batch_size": 128}, epochs=1, test_images=IMAGES, attacks=ATTACKS, device="cpu")
        return Job(
            name, lambda root: fulfil(teacher_request(replace(wanted, output=str(root / "teacher.safetensors"))))
        )
    if name == AUTOATTACK:
        attacks = ("clean", "autoattack")
        return Job(name, lambda root: fulfil(request("zskt", root, epochs=1, test_images=FEW_IMAGES, attacks=attacks)))
    if name == EVALUATE:
        return Job(
            name,
            lambda root: evaluate_run(next(root.rglob("record.json")).parent, attacks=("cw", "pgd20")),
            lambda root: fulfil(request("zskt", root, epochs=1, attacks=("clean", "fgsm"))),
        )
    return Job(name, lambda root: fulfil(request(name, root)))


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        code: 0 when all is well, 2 after one line about what is wrong, 1 after a traceback, -9 when it was killed.
        said: what it wrote.
    """

    code: int
    said: str


def begin(
    work: Callable[[], object], said: Path, meanwhile: Callable[[], AbstractContextManager[object]] = nullcontext
) -> int:
    """Start a process that does something; returns its number.

    Args:
        work: what.
        said: the file that what it writes goes to.
        meanwhile: a context that it works in.
    """
    sys.stdout.flush()
    number = os.fork()
    if number:
        return number
    code = 1
    try:
        target = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, 1)
        os.dup2(target, 2)
        logging.basicConfig(level=logging.WARNING, stream=sys.stderr, force=True)
        with meanwhile():
            work()
        code = 0
    except DfrdBenchError as error:
        os.write(2, f"Error: {error}\n".encode("utf-8", "replace"))
        code = 2
    except BaseException:
        os.write(2, traceback.format_exc().encode("utf-8", "replace"))
    finally:
        os._exit(code)


def end(number: int, said: Path, kill_after: float | None = None) -> Ended:
    """Wait for a process; kill it after so many seconds if it has not ended by then."""
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(number, signal.SIGKILL)
    status = os.waitpid(number, 0)[1]
    text = said.read_text(encoding="utf-8", errors="replace") if said.exists() else ""
    return Ended(os.waitstatus_to_exitcode(status), text)


def warm_up() -> None:
    """Import here, once, what every process would, and leave it to one thread, so that processes can be forked off."""
    import importlib

    import torch

    torch.set_num_threads(1)
    for name in ("attacks.autoattack", "reporting.figures.samples", "runs.measurement", "datasets.digits"):
        importlib.import_module(f"dfrd_bench.{name}")
    importlib.import_module("dfrd_bench.evaluation.evaluate")
    for method in METHODS.names():
        METHODS.get(method)


def undisturbed(wanted: Job, root: Path) -> tuple[dict[str, Any], list[str], float]:
    """Do a job in `work` below a folder, after what must come before it, which stays in `start`.

    Returns:
        What it leaves (see `left`), the moments at which it wrote ("os.rename record.json"), and seconds.

    Raises:
        SystemExit: it fails.
    """
    start, work, said, log = root / "start", root / "work", root / "said", root / "moments"
    start.mkdir(parents=True)

    def act(number: int, what: str, path: str) -> None:
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{what} {Path(path).name}\n")

    def must(number: int) -> None:
        if (done := end(number, said)).code:
            raise SystemExit(f"{wanted.name} fails undisturbed:\n{done.said}")

    before = wanted.before
    if before is not None:
        must(begin(lambda: before(start), said))
    shutil.copytree(start, work)
    began = time.monotonic()
    must(begin(lambda: wanted.work(work), said, lambda: at_every_write(work, act)))
    seconds = time.monotonic() - began
    return left(work), log.read_text(encoding="utf-8").splitlines(), seconds


def killing_at(moment: int) -> Callable[[int, str, str], None]:
    """Kills this process at the moment of a number."""

    def act(number: int, what: str, path: str) -> None:
        if number == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    return act


def left(root: Path) -> dict[str, Any]:
    """Everything that is below a folder, without what chance decides: by path, arrays and bytes as bytes, JSON as values."""
    return {str(path.relative_to(root)): _content(path) for path in sorted(root.rglob("*")) if path.is_file()}


def differing(root: Path, known: dict[str, Any], *, but: tuple[str, ...] = ()) -> list[str]:
    """Paths below a folder that are not as they are known to be, or that only one of both has; some names may be missing."""
    found = left(root)
    names = sorted(found.keys() | known.keys())
    return [
        name
        for name in names
        if (name not in found and not name.endswith(but or ("\0",)))
        or (name in found and found[name] != known.get(name))
    ]


def _content(path: Path) -> Any:
    if path.name == "record.json":
        return _without_chance(json.loads(path.read_text(encoding="utf-8")))
    if path.suffix == ".jsonl":
        return [_without_chance(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    if path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    return path.read_bytes()


def _without_chance(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _without_chance(value) for name, value in content.items() if name not in CHANCE}
    return [_without_chance(value) for value in content] if isinstance(content, list) else content
