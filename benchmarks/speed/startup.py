"""How long commands take that only start: `python -m dfrd_bench.benchmarks.speed.startup results/digits`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import click
import psutil

from dfrd_bench.records.files import write_atomically
from dfrd_bench.records.store import PREDICTIONS_FILE, RECORD_FILE
from dfrd_bench.reporting.found import find_runs

COMMANDS = ("--help", "run --help", "list methods", "list students", "list attacks", "list datasets", "show ferd")
FIRST_STEP = """
import os, sys
from contextlib import contextmanager
from dfrd_bench.cli import main, progress
from dfrd_bench.observer import Observer
@contextmanager
def watching(quiet):
    yield Observer(on_step=lambda stage, done, total: done and os._exit(0))
progress.watching = watching
main.main(["run", "--method", "ferd", "--dataset", "digits", "--results", sys.argv[1]])
"""
"""The first command of the README, until the first step of its training is done."""


@click.command()
@click.argument("results", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--records", default=1000, show_default=True, help="Of a table, made from those below RESULTS.")
@click.option("--repeat", default=5, show_default=True, help="How often each is started.")
def main(results: Path, records: int, repeat: int) -> None:
    """Print medians of wall and processor time, in seconds, each command in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        copies = Path(folder) / "copies"
        multiply(results, copies, records)
        once = Path(folder) / "run"
        jobs = {f"dfrd-bench {text}": ["-m", "dfrd_bench", *text.split()] for text in COMMANDS}
        jobs["dfrd-bench run …, to the first step"] = ["-c", FIRST_STEP, str(once)]
        jobs[f"dfrd-bench table, {records:,} records"] = ["-m", "dfrd_bench", "table", str(copies)]
        click.echo("| command | wall time | processor time |\n|---|---|---|")
        for name, arguments in jobs.items():
            taken = []
            for _ in range(repeat):
                shutil.rmtree(once, ignore_errors=True)
                taken.append(timed([sys.executable, *arguments]))
            wall, processor = (median(one) for one in zip(*taken, strict=True))
            click.echo(f"| {name} | {wall:.2f} | {processor:.2f} |")


def multiply(results: Path, copies: Path, count: int) -> None:
    """Copy finished runs, with their predictions, until there are so many, each time as if made with other seeds."""
    runs = [(Path(where), record) for where, record in find_runs([results]).runs if record.spec.kind == "student"]
    for number in range(count):
        source, record = runs[number % len(runs)]
        spec = record.spec.model_copy(update={"seed": record.spec.seed + 100 * (1 + number // len(runs))})
        folder = spec.folder(copies)
        write_atomically(folder / RECORD_FILE, record.model_copy(update={"spec": spec}).model_dump_json().encode())
        shutil.copy(source / PREDICTIONS_FILE, folder)


def timed(command: list[str]) -> tuple[float, float]:
    """Wall and processor time of a process that succeeds."""
    before, began = psutil.Process().cpu_times(), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall, after = time.perf_counter() - began, psutil.Process().cpu_times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, used


if __name__ == "__main__":
    main()
