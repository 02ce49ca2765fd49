"""Disks that are full, at every write; that limit a file's size; that cannot be written; folders that vanish.

python -m dfrd_bench.benchmarks.reliability.disks --points 0

A job on such a disk ends in one line (or well, where only a picture is missing), and never with a record that lacks its
weights; then the disk is whole again and the same command must leave what an undisturbed job does, bit for bit but for times
and memory, and no other file. `full` refuses everything from a moment on (see `points`); `vanished` takes the folder away at
it; `small` is a tmpfs of a few sizes, for those who may mount one; `limit` is the system's limit of a file's size; `read-only`
a folder without the right to write, or a tmpfs mounted so.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from random import Random

import click

from dfrd_bench.registry import METHODS

from .points import Act, at_every_write, full_from
from .trials import AUTOATTACK, EVALUATE, TEACHER, begin, differing, end, job, undisturbed, warm_up

PICTURES = ("samples.png", "samples.npz")  # what a warning may stand for
VERDICTS = ("one line", "well", "traceback", "no weights", "other")
LIMITS = (1_000, 50_000, 200_000)  # bytes of a file; weights have more
SIZES = ("1m", "9m", "12m")  # of a small disk

Disturbed = Callable[[], AbstractContextManager[object]]


class Disk:
    """A job on disks that fail.

    Args:
        name: of the job.
        root: an empty folder to work in.
    """

    def __init__(self, name: str, root: Path) -> None:
        self.job, self.root, self.work = job(name), root, root / "work"
        self.known, self.moments, _ = undisturbed(self.job, root)
        self.verdicts: Counter[tuple[str, str]] = Counter()
        self.faults: list[str] = []

    def anew(self) -> None:
        """As before the job."""
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.root / "start", self.work)

    def attempt(self, kind: str, where: str, disturbed: Disturbed, mended: Callable[[], object] = lambda: None) -> None:
        """Do the job while it is disturbed, mend the disk, and do it again."""
        said = self.root / "said"
        first = end(begin(lambda: self.job.work(self.work), said, disturbed), said)
        verdict = {0: "well", 2: "one line"}.get(first.code, "traceback")
        alone = [path for path in self.root.rglob("record.json") if self._bare(path.parent)]
        mended()
        again = end(begin(lambda: self.job.work(self.work), said), said)
        others = differing(self.work, self.known, but=PICTURES)
        if alone:
            verdict = "no weights"
        elif again.code or others:
            verdict = "other"
        self.verdicts[kind, verdict] += 1
        if verdict not in ("well", "one line"):
            told = f"{first.said.strip()}\n{again.said.strip()}"
            self.faults.append(f"{self.job.name} {kind} {where}: {verdict} {', '.join(others)}\n{told}")

    def _bare(self, folder: Path) -> bool:
        """Whether a record's weights are not there."""
        beside = folder.with_suffix(".safetensors") if folder.suffix == ".record" else folder / "student.safetensors"
        return not beside.exists()

    def at_moment(self, moment: int) -> None:
        """Full from a moment on; and, once there is something to lose, a folder that vanishes at it."""
        where = f"at {moment} ({self.moments[moment]})"
        self.anew()
        self.attempt("full", where, lambda: at_every_write(self.work, full_from(moment)))
        self.anew()
        away = self.root / "away"
        shutil.rmtree(away, ignore_errors=True)
        self.attempt(
            "vanished", where, lambda: at_every_write(self.work, vanishing(self.work, away, moment)), self._back
        )

    def _back(self) -> None:
        """What the job needs is there again, if the folder is gone."""
        if not any(self.work.rglob("*")):
            self.anew()

    def limited(self, size: int) -> None:
        """No file may have more bytes than this."""
        self.anew()
        self.attempt("limit", f"{size:,} bytes", lambda: limit(size))

    def mounted(self, kind: str, options: str) -> None:
        """On a tmpfs of its own, that is made larger and writable afterwards."""
        self.anew()
        with tmpfs(self.work, self.root / "start", options):
            self.attempt(kind, options, nullcontext, lambda: remount(self.work, "rw,size=1g"))

    def locked_up(self) -> None:
        """In a folder without the right to write, for who is not allowed everything."""
        self.anew()
        self.work.chmod(0o555)
        self.attempt("read-only", "folder", nullcontext, lambda: self.work.chmod(0o755))


def vanishing(work: Path, away: Path, moment: int) -> Act:
    """Moves a folder away at a moment, and leaves an empty one."""

    def act(number: int, what: str, path: str) -> None:
        if number == moment:
            work.rename(away)
            work.mkdir()

    return act


@contextmanager
def limit(size: int) -> Iterator[None]:
    """While it lasts, the system refuses files of more bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextmanager
def tmpfs(where: Path, start: Path, options: str) -> Iterator[None]:
    """A file system in memory at a folder, with what is in another folder in it."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", str(where)], check=True)
    try:
        shutil.copytree(start, where, dirs_exist_ok=True)
        remount(where, options)
        yield
    finally:
        subprocess.run(["umount", str(where)], check=True)


def remount(where: Path, options: str) -> None:
    """Give a file system other options."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(where)], check=True)


@click.command(help=__doc__)
@click.option("--job", "chosen", multiple=True, help="Only this one: a method, teacher, evaluate, autoattack.")
@click.option("--points", default=10, show_default=True, help="Moments of each job; 0: each.")
@click.option("--seed", default=0, show_default=True, help="Of the moments.")
@click.option("--mount", is_flag=True, help="Small and read-only disks too, by mounting tmpfs; needs the right to.")
def main(chosen: tuple[str, ...], points: int, seed: int, mount: bool) -> None:
    """Print a line per job and kind."""
    warm_up()
    click.echo(f"{'job':16}{'disk':12}" + "".join(f"{verdict:>12}" for verdict in VERDICTS))
    faults: list[str] = []
    for name in chosen or (*METHODS.names(), TEACHER, EVALUATE, AUTOATTACK):
        with tempfile.TemporaryDirectory() as folder:
            disk = Disk(name, Path(folder))
            every = range(len(disk.moments))
            rng = Random(f"{name} {seed}")
            for moment in every if not 0 < points < len(every) else sorted(rng.sample(every, points)):
                disk.at_moment(moment)
            for size in LIMITS:
                disk.limited(size)
            if mount:
                for space in SIZES:
                    disk.mounted("small", f"size={space}")
                disk.mounted("read-only", "ro")
            elif os.geteuid():
                disk.locked_up()
        for kind in dict.fromkeys(kind for kind, _ in disk.verdicts):
            counts = "".join(f"{disk.verdicts[kind, verdict]:12}" for verdict in VERDICTS)
            click.echo(f"{name:16}{kind:12}{counts}")
        faults += disk.faults
    for fault in faults:
        click.echo(f"\n{fault}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
