"""`dfrd-bench verify`: does a record say what was measured?"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dfrd_bench.cli import options

EPILOG = """
\b
Examples:
  dfrd-bench verify results/
  dfrd-bench verify results/digits/*/*/ferd/default-seed1-* --rerun --attacks clean,pgd20
"""


@click.command(epilog=EPILOG)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN_OR_RESULTS_DIR…")
@click.option("--rerun", is_flag=True, help="Attack the stored weights again too, and compare image by image.")
@click.option("--attacks", metavar="A,B", help="With --rerun: only these attacks.")
@click.option("--dataset", metavar="NAME", help="With --rerun: where the images are, e.g. imagefolder:PATH.")
@options.data_dir
@options.device
@options.quiet
def verify(
    runs: tuple[Path, ...],
    rerun: bool,
    attacks: str | None,
    dataset: str | None,
    data_dir: str | None,
    device: str,
    quiet: bool,
) -> None:
    """Recompute every number of a record from its predictions, and with --rerun the predictions from the weights.

    Exit code 1 if anything differs, or a folder, a record, its predictions or its weights cannot be read. A rerun on another
    machine may flip single images: rounding differs.
    """
    from dfrd_bench.cli.progress import watching
    from dfrd_bench.cli.streams import one_line
    from dfrd_bench.errors import DfrdBenchError
    from dfrd_bench.records.store import RECORD_FILE
    from dfrd_bench.records.tree import find_files
    from dfrd_bench.registry import ATTACKS
    from dfrd_bench.runs.request import names
    from dfrd_bench.runs.verification import verify_run

    below = {run: find_files(run, RECORD_FILE) if run.exists() else [] for run in runs}
    if lacking := [str(run) for run, found in below.items() if not found]:
        raise DfrdBenchError(f"There is no record below {', '.join(lacking)}.")
    if not rerun and (attacks is not None or dataset is not None):
        raise DfrdBenchError("--attacks and --dataset say what to run again: give --rerun too.")
    folders = {folder: problem for found in below.values() for folder, problem in found}
    chosen = None if attacks is None else list(ATTACKS.select(names(attacks)))
    differing = 0
    for folder, problem in folders.items():
        try:
            if problem is not None:
                raise problem
            with watching(quiet or not rerun) as observer:
                found = verify_run(
                    folder,
                    rerun=rerun,
                    attacks=chosen,
                    dataset=dataset,
                    data_dir=data_dir,
                    device=device,
                    observer=observer,
                )
            verdict = "differs" if found else "holds"
        except DfrdBenchError as error:
            found, verdict = [str(error)], "unclear"
        differing += bool(found)
        click.echo(f"{verdict:7}  {one_line(folder)}")
        for line in found:
            click.echo(f"         {one_line(line)}")
    if differing:
        click.echo(f"{differing} of {len(folders)} records differ or cannot be checked.")
        sys.exit(1)
