"""What threads that spin or sleep while they wait cost: `python -m dfrd_bench.benchmarks.speed.waiting`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

import click

WAYS = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    "two that spin, PyTorch's default": {"OMP_NUM_THREADS": "2"},
    "two that spin 1,000 times, as commands let them": {"OMP_NUM_THREADS": "2", "GOMP_SPINCOUNT": "1000"},
    "two that sleep": {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"},
}
SPOKEN = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
STEPS = """
import os, sys, time
from dfrd_bench import run
from dfrd_bench.observer import Observer
begun = []
def on_step(stage, done, total):
    now = time.perf_counter(), time.process_time()
    if done == 5 and not begun:
        begun.extend(now)
    elif done == 6 and stage == "distill":
        print(now[0] - begun[0], now[1] - begun[1], flush=True)
        os._exit(0)
settings = {"warmup_epochs": 0, "synthesis_rounds": 1}
run("ferd", "digits", epochs=1, settings=settings, results=sys.argv[1], observer=Observer(on_step=on_step))
"""
"""From the fifth step of the first batch's synthesis to the sixth of the student; the library advises nobody."""


@click.command()
@click.option("--rounds", default=3, show_default=True, help="How often each way is taken, one after the other.")
def main(rounds: int) -> None:
    """Print wall and processor time of some steps of FERD, as ratios to one thread in the same round."""
    for number in range(rounds):
        found = {name: taken(way) for name, way in WAYS.items()}
        wall, processor = found["one thread"]
        for name, (w, p) in found.items():
            click.echo(f"{number + 1}  {name:48}  wall {w / wall:.2f}  processor {p / processor:.2f}")


def taken(way: dict[str, str]) -> tuple[float, float]:
    """Wall and processor seconds of the steps, in a new process whose threads wait in a way."""
    clean = {name: value for name, value in os.environ.items() if name not in SPOKEN}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", STEPS, folder]
        done = subprocess.run(command, env={**clean, **way}, stdout=subprocess.PIPE, text=True, check=True)
    wall, processor = done.stdout.split()
    return float(wall), float(processor)


if __name__ == "__main__":
    main()
