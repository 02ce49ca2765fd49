"""Jobs that are killed (SIGKILL), at random moments and at every moment that something is written; then the next command.

python -m dfrd_bench.benchmarks.reliability.kills --random 10 --points 0

After a kill the same command is given once more, without disturbance: it must end well, with every file as an undisturbed
job leaves it, bit for bit but for times and memory, and no other file. Moments are those of `points`; `--points 0` tries each.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from random import Random

import click

from dfrd_bench.registry import METHODS

from .points import at_every_write
from .trials import AUTOATTACK, EVALUATE, TEACHER, Job, begin, differing, end, job, killing_at, undisturbed, warm_up

VERDICTS = ("same", "other", "refused", "traceback")
"""What the next command left: the same files; others; nothing but one line; a traceback."""


class Kills:
    """The kills of one job.

    Args:
        wanted: the job.
        root: an empty folder to work in.
    """

    def __init__(self, wanted: Job, root: Path) -> None:
        self.job, self.root, self.said, self.start = wanted, root, root / "said", root / "start"
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
        again = end(begin(lambda: self.job.work(work), self.said), self.said)
        others = differing(work, self.known) if not again.code else []
        verdict = {0: "other" if others else "same", 2: "refused"}.get(again.code, "traceback")
        self.verdicts[verdict] += 1
        if verdict != "same":
            where = f"at {moment} ({self.moments[moment]})" if moment is not None else f"after {after:.2f} s"
            self.faults.append(f"{self.job.name} {where}: {verdict} {', '.join(others)} {again.said.strip()}")


@click.command(help=__doc__)
@click.option("--job", "chosen", multiple=True, help="Only this one: a method, teacher, evaluate, autoattack.")
@click.option("--random", "chances", default=5, show_default=True, help="Kills at random moments, of each job.")
@click.option("--points", default=20, show_default=True, help="Kills at moments of writing, of each job; 0: at each.")
@click.option("--seed", default=0, show_default=True, help="Of the random moments.")
def main(chosen: tuple[str, ...], chances: int, points: int, seed: int) -> None:
    """Print a line per job."""
    warm_up()
    click.echo(f"{'job':16}{'moments':>9}{'kills':>7}" + "".join(f"{verdict:>11}" for verdict in VERDICTS))
    everything: Counter[str] = Counter()
    faults: list[str] = []
    for name in chosen or (*METHODS.names(), TEACHER, EVALUATE, AUTOATTACK):
        rng = Random(f"{name} {seed}")
        with tempfile.TemporaryDirectory() as folder:
            kills = Kills(job(name), Path(folder))
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
