"""Every reader of files that others may have made, given damaged and hostile ones: what it does, how long, and in what memory.

python -m dfrd_bench.benchmarks.reliability.fuzz --mutants 10000

Mutants are made from seeds, so that a run can be repeated; each reader works in a process of its own, which is started again
where a mutant ends it. What a reader did not survive is written to --keep.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import click

from .archives import MUTATE

PATIENCE = 10  # seconds that a reader may take
MODULE = "dfrd_bench.benchmarks.reliability.fuzz"


class HangError(BaseException):
    """A reader took too long; nothing that catches exceptions catches it."""


def mutant(name: str, valid: tuple[bytes, ...], seed: int) -> bytes:
    """The mutant of a seed."""
    rng = Random(f"{name} {seed}")
    return MUTATE[name](rng.choice(valid), rng)


def work(name: str, first: int, last: int, keep: Path) -> None:
    """Try the mutants of a range of seeds; a JSON line for each on stdout."""
    from .readers import WrongError, readers

    def late(*_: object) -> None:
        raise HangError

    logging.disable(logging.WARNING)  # of damaged lines, thousands of them
    signal.signal(signal.SIGALRM, late)
    with tempfile.TemporaryDirectory() as folder:
        reader = readers(Path(folder))[name]
        if not all(reader.accepts(valid) for valid in reader.valid):
            raise SystemExit(f"{name} refuses a valid file")
        for seed in range(first, last):
            data = mutant(name, reader.valid, seed)
            _say(seed=seed, began=True)
            began = time.perf_counter()
            signal.alarm(PATIENCE)
            try:
                verdict, details = ("accepted" if reader.accepts(data) else "refused"), ""
            except HangError:
                verdict, details = "hang", ""
            except WrongError as error:
                verdict, details = "wrong", str(error)
            except BaseException:
                verdict, details = "traceback", traceback.format_exc()
            finally:
                signal.alarm(0)
            if verdict in ("hang", "wrong", "traceback"):
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{name}-{seed}").write_bytes(data)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            _say(seed=seed, verdict=verdict, details=details, seconds=time.perf_counter() - began, peak=peak)


def _say(**content: Any) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def watched(name: str, first: int, last: int, keep: Path) -> tuple[Counter[str], float, int, list[str]]:
    """Verdicts, longest seconds, peak MiB and what went wrong, of a reader over a range of seeds."""
    verdicts: Counter[str] = Counter()
    slowest, peak, wrong = 0.0, 0, []
    while first < last:
        command = [sys.executable, "-m", MODULE, "--worker", name, str(first), str(last), "--keep", str(keep)]
        current = None
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                said = json.loads(line)
                current = said["seed"]
                if "verdict" in said:
                    verdicts[said["verdict"]] += 1
                    slowest, peak = max(slowest, said["seconds"]), max(peak, said["peak"])
                    if said["verdict"] not in ("accepted", "refused"):
                        wrong.append(f"{name} {current}: {said['verdict']} {said['details'].strip()}")
                    current = None
                    first = said["seed"] + 1
        if process.returncode and current is not None:
            verdicts["crash"] += 1
            wrong.append(f"{name} {current}: crash, exit code {process.returncode}")
            first = current + 1
        elif process.returncode:
            raise SystemExit(f"the worker of {name} failed")
    return verdicts, slowest, peak, wrong


@click.command(help=__doc__)
@click.option("--mutants", default=1_000, show_default=True, help="Of each reader's file.")
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--reader", "chosen", multiple=True, type=click.Choice(list(MUTATE)), help="Only this one.")
@click.option("--keep", default="fuzz-failures", show_default=True, type=click.Path(path_type=Path))
@click.option("--worker", nargs=3, type=str, hidden=True)
def main(mutants: int, first: int, chosen: tuple[str, ...], keep: Path, worker: tuple[str, str, str] | None) -> None:
    """Print a line per reader."""
    if worker is not None:
        os.environ["OMP_NUM_THREADS"] = "1"
        work(worker[0], int(worker[1]), int(worker[2]), keep)
        return
    verdicts = ("accepted", "refused", "wrong", "traceback", "hang", "crash")
    click.echo(f"{'reader':16}" + "".join(f"{verdict:>10}" for verdict in verdicts) + "   slowest s  peak MiB")
    everything: Counter[str] = Counter()
    faults: list[str] = []
    for name in chosen or MUTATE:
        found, slowest, peak, wrong = watched(name, first, first + mutants, keep)
        everything += found
        faults += wrong
        click.echo(f"{name:16}" + "".join(f"{found[v]:10}" for v in verdicts) + f"{slowest:12.2f}{peak:10}")
    click.echo(f"{'all':16}" + "".join(f"{everything[v]:10}" for v in verdicts))
    for fault in faults:
        click.echo(f"\n{fault}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
