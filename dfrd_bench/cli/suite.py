"""`dfrd-bench suite`: all the runs behind one of the papers' tables."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from dfrd_bench.cli import options

if TYPE_CHECKING:
    from dfrd_bench.problem import PrecisionName

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
@click.option("--dataset", default="digits", show_default=True, metavar="NAME", help="See `list datasets`.")
@click.option("--teacher", metavar="NAME", help="See `list teachers`; the dataset's own by default.")
@options.teacher_arch
@click.option("--student", metavar="NAME", help="See `list students`; the dataset's own by default.")
@click.option(
    "--preset", default="default", show_default=True, help="Budget: default, quick, paper, or cpu (not for digits)."
)
@click.option("--seeds", default="0", show_default=True, help="E.g. 0,1,2 or 0-2; every run is made with each.")
@options.precision
@options.compiled
@options.data_dir
@options.test_images
@options.attacks
@options.device
@options.results
@click.option("--dry-run", is_flag=True, help="Only say what would be run.")
@options.quiet
def suite(
    name: str | None,
    dataset: str,
    teacher: str | None,
    teacher_arch: str | None,
    student: str | None,
    preset: str,
    seeds: str,
    precision: PrecisionName,
    compiled: bool,
    data_dir: str | None,
    test_images: int | None,
    attacks: str,
    device: str,
    results: str,
    dry_run: bool,
    quiet: bool,
) -> None:
    """Make every run of a suite that is not recorded yet; seed by seed, so that a first table is there early.

    NAME is a suite of the package or a YAML file. A run that fails is reported, and the others go on.
    """
    from dfrd_bench.cli.progress import watching
    from dfrd_bench.errors import DfrdBenchError, out_of_memory
    from dfrd_bench.suites import check_suite, load_suite, parse_seeds, suite_names

    if name is None:
        for known in suite_names():
            click.echo(f"{known:12} {load_suite(known).title}")
        return
    chosen, numbers = load_suite(name), parse_seeds(seeds)
    check_suite(chosen, dataset, preset, data_dir, teacher=teacher, student=student, attacks=options.names(attacks))
    jobs = [(seed, row) for seed in numbers for row in chosen.runs]
    if dry_run:
        for seed, row in jobs:
            click.echo(f"{row} seed={seed}")
        return
    from dfrd_bench.experiment import run

    failed = 0
    for number, (seed, row) in enumerate(jobs, start=1):
        click.echo(f"[{number}/{len(jobs)}] {row}, seed {seed}", err=True)
        try:
            with watching(quiet) as observer:
                finished = run(
                    row.method,
                    dataset,
                    results=results,
                    attacks=options.names(attacks),
                    observer=observer,
                    teacher=teacher,
                    teacher_arch=teacher_arch,
                    student=student,
                    preset=preset,
                    settings=row.settings,
                    seed=seed,
                    precision=precision,
                    compile=compiled,
                    data_dir=data_dir,
                    test_images=test_images,
                    device=device,
                )
            click.echo(finished.folder)
        except (DfrdBenchError, RuntimeError, MemoryError) as error:
            if not isinstance(error, DfrdBenchError) and not out_of_memory(error):
                raise
            failed += 1
            click.echo(f"Error: {row}, seed {seed}: {error}", err=True)
    click.echo(f"Compare with: dfrd-bench table {results} --teacher --suite {name}")
    if failed:
        click.echo(f"{failed} of {len(jobs)} runs failed.", err=True)
        sys.exit(2)
