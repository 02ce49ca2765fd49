"""`dfrd-bench verify`: does a record say what was measured?"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfrd_bench.cli import options

if TYPE_CHECKING:
    from dfrd_bench.runs.verification import Verification

EPILOG = """
\b
Examples:
  dfrd-bench verify results/
  dfrd-bench verify results/digits/*/*/ferd/default-seed1-* --rerun --attacks clean,pgd20
  dfrd-bench verify results/digits/*/*/ferd/default-seed1-* --rerun --jobs 4
"""


@click.command(epilog=EPILOG)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN_OR_RESULTS_DIR…")
@click.option("--rerun", is_flag=True, help="Attack the stored weights again too, and compare image by image.")
@click.option("--attacks", metavar="A,B", help="With --rerun: only these attacks.")
@click.option("--dataset", metavar="NAME", help="With --rerun: where the images are, e.g. imagefolder:PATH.")
@options.data_dir
@options.device
@options.jobs
@options.quiet
def verify(
    runs: tuple[Path, ...],
    rerun: bool,
    attacks: str | None,
    dataset: str | None,
    data_dir: str | None,
    device: str,
    evaluation_jobs: int | None,
    quiet: bool,
) -> None:
    """Recompute every number of a record from its predictions, and with --rerun the predictions from the weights.

    Says of each record whether it holds; of a single one, and of any that does not, what was held against what. Without
    --rerun it is not asked whether the weights give these predictions: --rerun attacks them again with every attack, or those
    of --attacks, and compares image by image. That takes as long as the evaluation did.

    Exit code 1 if anything differs, or a folder, a record, its predictions or its weights cannot be read. A rerun on another
    machine may flip single images: rounding differs.
    """
    from dfrd_bench.cli.evaluators import fitting
    from dfrd_bench.cli.progress import watching
    from dfrd_bench.cli.session import VERDICTS, leaves, show_traceback
    from dfrd_bench.cli.streams import one_line
    from dfrd_bench.errors import DfrdBenchError
    from dfrd_bench.records.nearest import meant_instead
    from dfrd_bench.records.store import RECORD_FILE
    from dfrd_bench.records.tree import find_files
    from dfrd_bench.registry import ATTACKS
    from dfrd_bench.runs.request import names
    from dfrd_bench.runs.verification import Verification, examine_run

    began = time.perf_counter()
    if absent := [run for run in runs if not run.exists()]:
        raise DfrdBenchError(f"There is no folder {absent[0]}.{meant_instead(absent[0])}")
    below = {run: find_files(run, RECORD_FILE) for run in runs}
    if lacking := [run for run, found in below.items() if not found]:
        raise DfrdBenchError(
            f"There is no record below {', '.join(map(str, lacking))}: no {RECORD_FILE} in it or in a folder of it."
            f"{meant_instead(lacking[0])}"
        )
    if not rerun and (attacks is not None or dataset is not None or evaluation_jobs is not None):
        raise DfrdBenchError("--attacks, --dataset and --jobs are for what is run again: give --rerun too.")
    folders = {folder: problem for found in below.values() for folder, problem in found}
    chosen = None if attacks is None else list(ATTACKS.select(names(attacks)))
    jobs = fitting(evaluation_jobs, device) if rerun and evaluation_jobs is not None else None
    if rerun:
        leaves(VERDICTS)
    differing, held = 0, list[Verification]()
    for folder, problem in folders.items():
        try:
            if problem is not None:
                raise problem
            with watching(quiet or not rerun) as observer:
                found = examine_run(
                    folder,
                    rerun=rerun,
                    attacks=chosen,
                    dataset=dataset,
                    data_dir=data_dir,
                    device=device,
                    observer=observer,
                    jobs=jobs,
                )
        except DfrdBenchError as error:
            differing += 1
            show_traceback()
            click.echo(f"unclear  {one_line(folder)}\n         {one_line(error)}")
            continue
        click.echo(f"{'differs' if found.differences else 'holds':7}  {one_line(folder)}")
        if found.differences or len(folders) == 1:
            _print_checks(found)
        differing += bool(found.differences)
        held += [] if found.differences else [found]
    _print_sum(held, time.perf_counter() - began, chosen, single=len(folders) == 1)
    if differing:
        click.echo(f"{differing} of {len(folders)} records differ or cannot be checked.")
        sys.exit(1)


def _print_checks(found: Verification) -> None:
    """What was held against what, and below it what differs."""
    from dfrd_bench.cli.streams import one_line

    for check in found.checks:
        verdict = "differs" if check.found else "holds" if check.made else "–"
        click.echo(f"         {verdict:7}  {check.name}: {one_line(check.what)}")
        for line in check.found:
            click.echo(f"                  {one_line(line)}")


def _print_sum(held: Sequence[Verification], seconds: float, chosen: list[str] | None, *, single: bool) -> None:
    """What was checked of the records that hold, how long it took, and what was not asked."""
    from dfrd_bench.runs.rehearsal import duration

    if not held:
        return
    spent = f"{seconds:.1f} s" if seconds < 10 else duration(seconds)
    if not single:
        results = sum(len(found.attacks) for found in held)
        numbers = sum(found.numbers for found in held)
        kept = {name: sum(c.name == name and c.made for f in held for c in f.checks) for name in ("folder", "weights")}
        click.echo(
            f"{len(held)} records hold: {numbers:,} numbers of {results:,} attacks, computed again from the predictions of each "
            f"image; {kept['folder']} folders' names against settings; {kept['weights']} files of weights against "
            "their sha256. Of one record alone `verify` says what was held against what."
        )
    if not any(found.rerun for found in held):
        long = duration(sum(found.to_rerun[0] for found in held))
        where = " and ".join(dict.fromkeys(found.to_rerun[1] for found in held))
        click.echo(
            "Not asked: whether the weights give these predictions, and whether the test images are those of the record. --rerun "
            f"attacks again and compares image by image; when the attacks were recorded they took {long} ({where})."
        )
    elif left_out := dict.fromkeys(name for found in held for name in found.attacks if name not in (chosen or [name])):
        click.echo(f"Not asked: whether the weights give the predictions under {', '.join(left_out)}.")
    click.echo(f"Checked in {spent}.")
