"""`dfrd-bench suite`: all the runs behind one of the papers' tables."""

from __future__ import annotations

import sys

import click

from dfrd_bench.cli import options
from dfrd_bench.runs.request import Request

EPILOG = """
\b
Examples:
  dfrd-bench suite                              list the suites
  dfrd-bench suite conversion --seeds 0-2       FERD's table 8, three seeds
  dfrd-bench suite my-rows.yaml --dataset digits --dry-run
  dfrd-bench suite main --dataset cifar10 --student mobilenet-v2 --precision bf16
"""


@click.command(epilog=EPILOG)
@click.argument("name", required=False)
@options.request(*options.IMAGES, *options.NETWORKS, *options.MEASURING, options.results)
@click.option("--seeds", default="0", show_default=True, help="E.g. 0,1,2 or 0-2; every run is made with each.")
@click.option("--dry-run", is_flag=True, help="Only say what would be run; nothing is downloaded.")
@options.threads
@options.quiet
def suite(name: str | None, request: Request, seeds: str, dry_run: bool, quiet: bool) -> None:
    """Make every run of a suite that is not recorded yet; seed by seed, so that a first table is there early.

    NAME is a suite of the package or a YAML file. A run that fails is reported, now and at the end, and the others go on.
    """
    from pathlib import Path

    from dfrd_bench.cli.progress import watching
    from dfrd_bench.cli.session import stops
    from dfrd_bench.cli.streams import one_line
    from dfrd_bench.errors import DfrdBenchError, out_of_memory
    from dfrd_bench.records.suites import load_suite, suite_names
    from dfrd_bench.runs.failures import logged
    from dfrd_bench.runs.plan import asked_of_methods, check_images, check_suite, parse_seeds, planned

    if name is None:
        width = max(map(len, suite_names()))
        for known in suite_names():
            click.echo(f"{known:{width}}  {load_suite(known).title}")
        return
    chosen = load_suite(name)
    jobs = planned(chosen, parse_seeds(seeds), request)
    with logged(Path(request.results), f"suite {name}"):
        check_suite(chosen, request)
    if dry_run:
        for job in jobs:
            click.echo(job)
        return
    from dfrd_bench.runs.run import fulfil

    with watching(quiet) as observer, logged(Path(request.results), f"suite {name}"):
        check_images(chosen, request, observer)
    failed: list[str] = []
    for number, job in enumerate(jobs, start=1):
        click.echo(f"[{number}/{len(jobs)}] {job}", err=True)
        try:
            with watching(quiet) as observer:
                finished = fulfil(job, observer)
            click.echo(finished.folder)
        except (DfrdBenchError, RuntimeError, MemoryError) as error:
            if not isinstance(error, DfrdBenchError) and not out_of_memory(error):
                raise
            failed.append(f"{one_line(job)}: {one_line(error)}")
            click.echo(f"Error: {failed[-1]}", err=True)
        stops().safe_point()
    both = " --tracks both" if len(set(asked_of_methods(chosen, "sees"))) > 1 else ""
    click.echo(f"Compare with: dfrd-bench table {request.results} --teacher --suite {name}{both}")
    if failed:
        click.echo("\n".join([f"{len(failed)} of {len(jobs)} runs failed:", *failed]), err=True)
        sys.exit(1)
