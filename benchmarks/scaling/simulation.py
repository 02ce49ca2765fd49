"""How long a plan of many runs takes with any number of workers, of which some fail, and how much work is lost.

python -m dfrd_bench.benchmarks.scaling.simulation --suite main --dataset cifar10 --seeds 0-2 --workers 1,12,36 --mtbf 24

The plan is that of `dfrd-bench suite` and the launcher speaks the protocol of all launchers; its workers are made up: their
runs take a random time, and none of it. What the table says is simulated. What the real driver takes, writing all that it
keeps of every run into a folder that is removed afterwards, is measured here, on the first runs of the plan.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import click

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.execution.driving import drive
from dfrd_bench.execution.jobs import jobs_of
from dfrd_bench.execution.protocol import Finished, Job, Means
from dfrd_bench.execution.status import standings
from dfrd_bench.observer import Stops
from dfrd_bench.records.seeds import parse_seeds
from dfrd_bench.records.suites import load_suite
from dfrd_bench.runs.plan import Choices, check_suite, planned
from dfrd_bench.runs.request import Request
from dfrd_bench.settings import names

from .cluster import HOUR, Cluster, World

WORKERS = "1,4,16,64,256,1000"
MOST = 100_000  # workers that somebody may mean
HEADINGS = (
    "workers",
    "makespan h",
    "at least h",
    "failures",
    "lost h",
    "lost %",
    "events",
    "events/s",
)  # the last of simulated time
Positive = click.FloatRange(0, min_open=True)


@dataclass(frozen=True)
class Outcome:
    """What came of a plan.

    Attributes:
        cluster: what was simulated.
        bound: seconds that it takes at least, were no worker to fail: all work divided among them, or the longest run.
        events: of the protocol.
    """

    cluster: Cluster
    bound: float
    events: int


@dataclass(frozen=True)
class Driver:
    """What the real driver took over a plan whose workers are made up, in seconds per run or event.

    Attributes:
        planning: each run, before the first could begin.
        event: each event that it was told.
        looking: each run, in a look at the status of all.
    """

    planning: float
    event: float
    looking: float


def simulate(jobs: Sequence[Job], world: World) -> Outcome:
    """Launch a plan on workers that are made up.

    Raises:
        DfrdBenchError: a run was not finished, or twice.
    """
    cluster = Cluster(world)
    events = list(cluster.launch(jobs, Means(), Stops()))
    finished = sorted(event.job.number for event in events if isinstance(event, Finished))
    if finished != [job.number for job in jobs]:
        raise DfrdBenchError(f"Of {len(jobs)} runs {len(set(finished))} were finished, {len(finished)} times in all.")
    work = [world.start + world.length_of(job) for job in jobs]
    return Outcome(cluster, max(sum(work) / world.workers, max(work)), len(events))


def measure(requests: Sequence[Request], world: World) -> Driver:
    """How long the driver takes over these runs, with all that it writes.

    Raises:
        DfrdBenchError: see `drive`.
    """
    with tempfile.TemporaryDirectory() as folder:
        plan, events = [replace(request, results=folder) for request in requests], 0
        times = [time.perf_counter()]
        for _ in drive(Cluster(world), plan, Means(), Stops()):
            times += [time.perf_counter()] * (not events)
            events += 1
        times.append(time.perf_counter())
        standings(plan)
        times.append(time.perf_counter())
    planning, driving, looking = (after - before for before, after in pairwise(times))
    return Driver(planning / len(plan), driving / events, looking / len(plan))


@click.command(help=__doc__)
@click.option("--suite", default="main", show_default=True, metavar="NAME", help="Of the package, or a YAML file.")
@click.option("--dataset", default="cifar10,cifar100", show_default=True, metavar="NAME,…")
@click.option("--student", default="resnet-18,mobilenet-v2", show_default=True, metavar="NAME,…")
@click.option("--seeds", default="0-49", show_default=True)
@click.option("--workers", default=WORKERS, show_default=True, metavar="N,…")
@click.option("--hours", type=Positive, default=2.5, show_default=True, help="Of a run, on average.")
@click.option("--spread", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Of their lengths.")
@click.option(
    "--mtbf",
    type=click.FloatRange(0),
    default=100,
    show_default=True,
    help="Hours between failures of one worker; 0: none.",
)
@click.option("--repair", type=click.FloatRange(0), default=1, show_default=True, help="Hours until it is back.")
@click.option("--checkpoint", type=Positive, default=10, show_default=True, help="Minutes between checkpoints.")
@click.option("--start", type=click.FloatRange(0), default=1, show_default=True, help="Minutes until a run goes on.")
@click.option(
    "--driven", type=click.IntRange(1), default=100, show_default=True, help="Runs on which the driver is measured."
)
@click.option("--seed", default=0, show_default=True, help="Of lengths and failures.")
def main(
    suite: str,
    dataset: str,
    student: str,
    seeds: str,
    workers: str,
    hours: float,
    spread: float,
    mtbf: float,
    repair: float,
    checkpoint: float,
    start: float,
    driven: int,
    seed: int,
) -> None:
    """Print a line for each number of workers."""
    try:
        plan = _plan(suite, Choices(datasets=names(dataset), students=names(student)), seeds)
        world = World(1, hours * HOUR, spread, start * 60, checkpoint * 60, mtbf * HOUR or None, repair * HOUR, seed)
        worlds = [replace(world, workers=count) for count in _counts(workers)]
        click.echo(
            f"{len(plan)} runs of {hours:g} h on average, {_failing(mtbf, repair)}, checkpoints every {checkpoint:g} min."
        )
        click.echo(_line(HEADINGS))
        jobs = jobs_of(plan)
        for one in worlds:
            click.echo(_line(_cells(simulate(jobs, one))))
        click.echo(_driver(measure(plan[:driven], worlds[-1]), hours * HOUR))
    except DfrdBenchError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)


def _plan(suite: str, choices: Choices, seeds: str) -> list[Request]:
    """The real plan, checked as `dfrd-bench suite` checks it."""
    chosen, request = load_suite(suite), Request(device="cpu")
    check_suite(chosen, request, choices)
    return planned(chosen, parse_seeds(seeds), request, choices)


def _counts(text: str) -> list[int]:
    """Numbers of workers.

    Raises:
        DfrdBenchError: one is none.
    """
    parts = names(text)
    if not parts or not all(part.isdigit() and 0 < int(part) <= MOST for part in parts):
        raise DfrdBenchError(f"--workers takes numbers from 1 to {MOST:,}, like {WORKERS}, not {text!r}.")
    return [int(part) for part in parts]


def _failing(mtbf: float, repair: float) -> str:
    return f"a failure of each worker every {mtbf:g} h, back after {repair:g} h" if mtbf else "no failures"


def _line(cells: Sequence[str]) -> str:
    return "".join(f"{cell:>14}" for cell in cells)


def _cells(outcome: Outcome) -> list[str]:
    cluster = outcome.cluster
    return [
        *(str(cluster.world.workers), f"{cluster.makespan / HOUR:.1f}", f"{outcome.bound / HOUR:.1f}"),
        *(str(cluster.failures), f"{cluster.lost / HOUR:.1f}", f"{100 * cluster.lost / cluster.busy:.2f}"),
        *(str(outcome.events), f"{outcome.events / cluster.makespan:.4f}"),
    ]


def _driver(driver: Driver, length: float) -> str:
    """What the driver took, and where it would be the bottleneck."""
    lines = [
        f"The driver, measured here: {1 / driver.event:.0f} events per second; {1000 * driver.planning:.1f} ms for each run",
        f"before the first begins; {1000 * driver.looking:.1f} ms for each run in a look at the status.",
        f"A run is 2 events or more: runs of this length keep the driver busy from {length / driver.event / 2:,.0f} workers on,",
        f"runs of a minute from {60 / driver.event / 2:,.0f} on.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
