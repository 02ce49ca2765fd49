"""Several processes at once in one results folder: the same run, different runs, evaluations of one run, drivers of one plan.

python -m dfrd_bench.benchmarks.reliability.races --times 3 --processes 4

Of the same run exactly one is trained, the others are told that somebody is at work or find it finished; different runs do
not disturb each other; of evaluations none is lost: each ends well or is told that somebody is at work, and then ends well
alone; of a plan that several drivers have a launcher make, every run is trained once and none fails. What is there
afterwards is what one process alone leaves, bit for bit but for times and memory, and no other file.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import torch

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.contradictions import believed_record
from dfrd_bench.execution.driving import drive
from dfrd_bench.execution.jobs import FOLDER, LOG_FILE
from dfrd_bench.execution.local import local
from dfrd_bench.execution.protocol import Failed, Means
from dfrd_bench.observer import Stops
from dfrd_bench.runs.reevaluation import evaluate_run
from dfrd_bench.runs.run import fulfil
from dfrd_bench.runs.verification import verify_run

from .trials import Ended, begin, differing, end, left, request, warm_up

BUSY = "Another process is at work in"
VERDICTS = ("done", "busy", "refused", "traceback")
PLAN = 3  # runs
EVALUATED_BY = ("fgsm", "pgd20", "cw", "clean")


def together(works: Sequence[Callable[[], object]], root: Path) -> list[Ended]:
    """Do several things in a process each, at once."""
    numbers = [begin(work, root / f"said-{place}") for place, work in enumerate(works)]
    return [end(number, root / f"said-{place}") for place, number in enumerate(numbers)]


def verdict(ended: Ended) -> str:
    """How a process of a race ended."""
    if ended.code == 2 and BUSY in ended.said:
        return "busy"
    return {0: "done", 2: "refused"}.get(ended.code, "traceback")


def trained(ended: Ended) -> bool:
    """Whether a process made the run, and did not find it made."""
    return not ended.code and "made here" in ended.said


def make(results: Path, seed: int) -> None:
    """A run, and whether it was made here."""
    if not fulfil(request("zskt", results, seed=seed)).cached:
        sys.stdout.write("made here\n")
        sys.stdout.flush()


def same(root: Path, processes: int) -> tuple[list[Ended], list[str]]:
    """The same run by all."""
    alone, results = root / "alone", root / "results"
    together([lambda: make(alone, 0)], root)
    ended = together([lambda: make(results, 0)] * processes, root)
    faults = [f"other than alone: {name}" for name in differing(results, left(alone))]
    if (number := sum(map(trained, ended))) != 1:
        faults.append(f"trained {number} times")
    return ended, faults


def different(root: Path, processes: int) -> tuple[list[Ended], list[str]]:
    """A run of another seed by each."""
    alone, results = root / "alone", root / "results"
    for seed in range(processes):
        together([lambda seed=seed: make(alone, seed)], root)  # type: ignore[misc]
    ended = together([lambda seed=seed: make(results, seed) for seed in range(processes)], root)  # type: ignore[misc]
    return ended, [f"other than alone: {name}" for name in differing(results, left(alone))]


def evaluate(root: Path, processes: int) -> tuple[list[Ended], list[str]]:
    """One run by another attack by each; whoever was refused tries again alone."""
    start = root / "start"
    together([lambda: fulfil(request("zskt", start, epochs=1, attacks=("clean",)))], root)
    folder = next(start.rglob("record.json")).parent
    names = [EVALUATED_BY[number % len(EVALUATED_BY)] for number in range(processes)]
    works = [lambda name=name: evaluate_run(folder, attacks=(name,)) for name in names]
    ended = together(works, root)
    faults = []
    for work, first in zip(works, ended, strict=True):
        if first.code and (again := together([work], root)[0]).code:
            faults.append(f"refused alone too: {again.said.strip()}")
    found = believed_record(folder).evaluation.attacks.keys()
    if lost := {*names, "clean"} - found:
        faults.append(f"lost: {', '.join(sorted(lost))}")
    there = {path.name for path in folder.iterdir()}
    files = {"record.json", "predictions.npz", "student.safetensors", "history.jsonl", "samples.npz", "samples.png"}
    return ended, faults + verify_run(folder) + [f"left: {name}" for name in sorted(there - files)]


def launch(results: Path, threads: int) -> None:
    """A plan of a few runs, by a driver of its own.

    Raises:
        DfrdBenchError: one of them failed.
    """
    plan = [request("zskt", results, seed=seed) for seed in range(PLAN)]
    for event in drive(local, plan, Means(jobs=1, cores=threads, threads=threads), Stops()):
        if isinstance(event, Failed):
            raise DfrdBenchError(f"{event.job.request}: {event.why}")


def drivers(root: Path, processes: int) -> tuple[list[Ended], list[str]]:
    """The same plan by a driver each."""
    alone, results, threads = root / "alone", root / "results", torch.get_num_threads()
    for seed in range(PLAN):
        together([lambda seed=seed: make(alone, seed)], root)  # type: ignore[misc]
    ended = together([lambda: launch(results, threads)] * processes, root)
    logs = "".join(path.read_text("utf-8", "replace") for path in results.glob(f"{FOLDER}/*/{LOG_FILE}"))
    shutil.rmtree(results / FOLDER)
    faults = [f"other than alone: {name}" for name in differing(results, left(alone))]
    if (number := logs.count("Recorded in ") - logs.count("Already run: ")) != PLAN:
        faults.append(f"of {PLAN} runs {number} were trained")
    return ended, faults


RACES = {"same": same, "different": different, "evaluate": evaluate, "drivers": drivers}


@click.command(help=__doc__)
@click.option("--times", default=3, show_default=True, help="Of each race.")
@click.option("--processes", default=4, show_default=True)
@click.option("--race", "chosen", multiple=True, type=click.Choice([*RACES]), help="All by default.")
def main(times: int, processes: int, chosen: tuple[str, ...]) -> None:
    """Print a line per race."""
    warm_up()
    click.echo(f"{'race':12}{'times':>7}{'processes':>11}" + "".join(f"{name:>11}" for name in (*VERDICTS, "faults")))
    faulty: list[str] = []
    for name, race in RACES.items():
        if chosen and name not in chosen:
            continue
        verdicts: Counter[str] = Counter()
        faults: list[str] = []
        for _ in range(times):
            with tempfile.TemporaryDirectory() as folder:
                ended, found = race(Path(folder), processes)
                shutil.rmtree(folder, ignore_errors=True)
            verdicts.update(map(verdict, ended))
            faults += found + [one.said.strip() for one in ended if verdict(one) in ("refused", "traceback")]
        counts = "".join(f"{verdicts[kind]:11}" for kind in VERDICTS)
        click.echo(f"{name:12}{times:7}{times * processes:11}{counts}{len(faults):11}")
        faulty += [f"{name}: {fault}" for fault in faults]
    for fault in faulty:
        click.echo(f"\n{fault}")
    sys.exit(1 if faulty else 0)


if __name__ == "__main__":
    main()
