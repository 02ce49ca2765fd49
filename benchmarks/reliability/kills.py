"""Jobs that are killed (SIGKILL), at random moments and at every moment that something is written; then the next command.

python -m dfrd_bench.benchmarks.reliability.kills --random 10 --points 0

After a kill the same command is given once more, without disturbance: it must end well, with every file as an undisturbed
job leaves it, bit for bit but for times and memory, and no other file. Moments are those of `points`; `--points 0` tries each.
With `--threads 2` that command has two threads where the killed one had one: other bits may follow, and the record must say so
where the training went on from a checkpoint.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import click

from dfrd_bench.registry import METHODS

from .points import at_every_write
from .trials import AUTOATTACK, EVALUATE, TEACHER, Job, begin, differing, end, job, killing_at, undisturbed, warm_up

VERDICTS = ("same", "said", "other", "refused", "traceback")
"""What the next command left: the same files; others, of a training that had the other number of threads throughout, or whose
record says from where on; others; nothing but one line; a traceback."""


class Kills:
    """The kills of one job.

    Args:
        wanted: the job.
        root: an empty folder to work in.
        threads: of the next command.
    """

    def __init__(self, wanted: Job, root: Path, threads: int) -> None:
        self.job, self.root, self.said, self.start, self.threads = wanted, root, root / "said", root / "start", threads
        self.known, self.moments, self.seconds = undisturbed(wanted, root)
        self.faults: list[str] = []
        self.verdicts: Counter[str] = Counter()

    def kill(self, moment: int | None = None, after: float | None = None) -> None:
        """Kill the job at a moment or after so many seconds, and judge the next command."""
        work = self.root / "work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(self.start, work)
        if moment is not None:
            first = begin(lambda: self.job.work(work), self.said, lambda: at_every_write(work, killing_at(moment)))
            end(first, self.said)
        else:
            end(begin(lambda: self.job.work(work), self.said), self.said, after)
        begun = any(work.rglob("method.pt"))
        again = end(begin(lambda: with_threads(self.threads, lambda: self.job.work(work)), self.said), self.said)
        others = differing(work, self.known) if not again.code else []
        different = "said" if self.threads != 1 and says_threads(work, self.threads) == begun else "other"
        verdict = {0: different if others else "same", 2: "refused"}.get(again.code, "traceback")
        self.verdicts[verdict] += 1
        if verdict not in ("same", "said"):
            where = f"at {moment} ({self.moments[moment]})" if moment is not None else f"after {after:.2f} s"
            self.faults.append(f"{self.job.name} {where}: {verdict} {', '.join(others)} {again.said.strip()}")


def with_threads(number: int, work: Callable[[], object]) -> None:
    """Do something with so many threads."""
    import torch

    torch.set_num_threads(number)
    work()


def says_threads(root: Path, number: int) -> bool:
    """Whether a record below a folder warns that the training went on with so many threads."""
    records = [json.loads(path.read_text(encoding="utf-8")) for path in root.rglob("record.json")]
    return any(
        f"from there on with {number} threads" in warning for record in records for warning in record["warnings"]
    )


@click.command(help=__doc__)
@click.option("--job", "chosen", multiple=True, help="Only this one: a method, teacher, evaluate, autoattack.")
@click.option("--random", "chances", default=5, show_default=True, help="Kills at random moments, of each job.")
@click.option("--points", default=20, show_default=True, help="Kills at moments of writing, of each job; 0: at each.")
@click.option("--threads", default=1, show_default=True, help="Of the command after the kill.")
@click.option("--seed", default=0, show_default=True, help="Of the random moments.")
def main(chosen: tuple[str, ...], chances: int, points: int, threads: int, seed: int) -> None:
    """Print a line per job."""
    warm_up()
    click.echo(f"{'job':16}{'moments':>9}{'kills':>7}" + "".join(f"{verdict:>11}" for verdict in VERDICTS))
    everything: Counter[str] = Counter()
    faults: list[str] = []
    for name in chosen or (*METHODS.names(), TEACHER, EVALUATE, AUTOATTACK):
        rng = Random(f"{name} {seed}")
        with tempfile.TemporaryDirectory() as folder:
            kills = Kills(job(name), Path(folder), threads)
            every = range(len(kills.moments))
            for moment in every if not 0 < points < len(every) else sorted(rng.sample(every, points)):
                kills.kill(moment=moment)
            for _ in range(chances):
                kills.kill(after=rng.uniform(0, kills.seconds))
        everything += kills.verdicts
        faults += kills.faults
        counts = "".join(f"{kills.verdicts[verdict]:11}" for verdict in VERDICTS)
        click.echo(f"{name:16}{len(every):9}{kills.verdicts.total():7}{counts}")
    click.echo(f"{'all':16}{'':9}{everything.total():7}" + "".join(f"{everything[verdict]:11}" for verdict in VERDICTS))
    for fault in faults:
        click.echo(f"\n{fault}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
