"""`dfrd-bench suite`: all the runs behind one of the papers' tables."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from dfrd_bench.cli import options
from dfrd_bench.cli.launcher_options import LAUNCHER, LaunchingCommand
from dfrd_bench.runs.request import Request

if TYPE_CHECKING:
    from dfrd_bench.execution.protocol import Launcher, Means
    from dfrd_bench.records.suites import Suite

EPILOG = """
\b
Examples:
  dfrd-bench suite                              list the suites
  dfrd-bench suite conversion --seeds 0-2       FERD's table 8, three seeds
  dfrd-bench suite main --dataset cifar10 --seeds 0-2 --jobs 4      a process for each run, four at a time
  dfrd-bench suite main --dataset cifar10 --seeds 0-2 --status      done, running, stopped, failed, missing
  dfrd-bench suite main --dataset cifar10 --launcher ray --address 10.0.0.1:6379        on a Ray cluster
  dfrd-bench suite main --dataset cifar10 --launcher slurm --submit                     as a Slurm array
  dfrd-bench suite --launcher slurm --help      its options too
  dfrd-bench suite my-rows.yaml --dataset digits --dry-run
  dfrd-bench suite main --dataset cifar10,cifar100 --student resnet-18,mobilenet-v2 --precision bf16
  dfrd-bench suite main --probe 5 --observer tensorboard            every run, by whatever launcher
  dfrd-bench suite main --epochs 5 --set batch_size=128             for every row whose method has it, and does not say otherwise
"""
LOCAL = "local"


@click.command(cls=LaunchingCommand, epilog=EPILOG)
@click.argument("name", required=False)
@options.request(
    *(options.several(option) for option in (*options.IMAGES, *options.NETWORKS)),
    options.settings("A hyper-parameter, for every row whose method has it and that does not set it itself."),
    click.option("--epochs", type=int, help="The same as --set epochs=N."),
    *options.PROBING,
    options.observers(
        "NAME",
        "Also tell this one what happens in every run, e.g. jsonl or tensorboard (see `list observers`); it writes into the "
        "run's own folder; may be given again.",
    ),
    *options.MEASURING,
    options.results,
    options.evaluation_jobs,
)
@click.option(
    "--seeds", help="E.g. 0,1,2 or 0-2; every run is made with each. The suite's by default, or 0 where it names none."
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Runs at a time, each in a process of its own (docs/scaling.md).",
)
@click.option(
    "--gpus-per-job",
    type=click.FloatRange(min=0, max=1, min_open=True),
    metavar="X",
    default=1.0,
    show_default=True,
    help="Less than 1: several runs share a GPU.",
)
@click.option(
    LAUNCHER,
    metavar="NAME",
    help="See `list launchers`; local where --jobs is given. With it, --help shows the launcher's own options too.",
)
@click.option("--status", is_flag=True, help="Only say how the runs stand; also while they are made.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only say what would be run, and what it would take here and on typical GPUs; nothing is downloaded.",
)
@options.threads
@options.quiet
def suite(
    name: str | None,
    request: Request,
    seeds: str | None,
    jobs: int | None,
    gpus_per_job: float,
    launcher: str | None,
    status: bool,
    dry_run: bool,
    quiet: bool,
) -> None:
    """Make every run of a suite that is not recorded yet; seed by seed, so that a first table is there early.

    NAME is a suite of the package or a YAML file. --dataset, --teacher and --student take several names, with commas or one by
    one: every row is run with each, and they go before those that the file lists. A run that fails is reported, now and at the
    end, and the others go on. With --jobs each run has a process of its own, so that one which is killed ends no other.
    """
    from pathlib import Path

    from dfrd_bench.cli.evaluators import fitted
    from dfrd_bench.cli.progress import watching
    from dfrd_bench.cli.rehearsing import rehearse_suite
    from dfrd_bench.records.suites import load_suite, suite_names
    from dfrd_bench.runs.failures import logged
    from dfrd_bench.runs.plan import check_images
    from dfrd_bench.runs.preparation import with_defaults
    from dfrd_bench.runs.rows import asked_of_methods

    if name is None:
        width = max(map(len, suite_names()))
        for known in suite_names():
            click.echo(f"{known:{width}}  {load_suite(known).title}")
        return
    chosen = load_suite(name)
    with logged(Path(request.results), f"suite {name}"):
        here = jobs is None and launcher is None
        this_machine = launcher in (None, LOCAL)
        wanted = _plan(chosen, name, fitted(request, beside=jobs or 1) if this_machine else request, seeds)
    if dry_run:
        rehearse_suite(wanted, quiet, jobs)
        return
    if status:
        _say_how_they_stand(wanted)
        return
    from dfrd_bench.cli.launcher_options import chosen_launcher
    from dfrd_bench.cli.launching import means_of
    from dfrd_bench.cli.session import CHECKPOINTS, leaves

    if not this_machine:
        wanted = [with_defaults(one) for one in wanted]  # the workers' machine may be another
    context = click.get_current_context()
    by = chosen_launcher(context, launcher or LOCAL)
    told = context.get_parameter_source("threads") is not ParameterSource.DEFAULT
    means = means_of(jobs, gpus_per_job, told)
    with watching(quiet) as observer, logged(Path(request.results), f"suite {name}"):
        check_images(wanted, observer)
    leaves(CHECKPOINTS)
    failed = _one_after_another(wanted, quiet) if here else _launched(wanted, by, means, quiet)
    both = " --tracks both" if len(set(asked_of_methods(chosen, "sees"))) > 1 else ""
    rows = "" if request.settings or request.epochs else f" --suite {name}"  # whose rows are not these
    click.echo(f"Compare with: dfrd-bench table {request.results} --teacher{rows}{both}")
    if failed:
        click.echo("\n".join([f"{len(failed)} of {len(wanted)} runs failed:", *failed]), err=True)
        sys.exit(1)


def _plan(suite: Suite, name: str, request: Request, seeds: str | None) -> list[Request]:
    """The suite's runs, checked; and a line for each hyper-parameter that not every row takes."""
    from dataclasses import replace

    from dfrd_bench.records.seeds import parse_seeds
    from dfrd_bench.runs.plan import Choices, check_suite, planned
    from dfrd_bench.runs.rows import takes
    from dfrd_bench.settings import names

    choices = Choices(*(names(text or "") for text in (request.dataset, request.teacher, request.student)))
    request = replace(request, dataset=None, teacher=None, student=None)
    chosen = parse_seeds(seeds) if seeds is not None else suite.seeds or [0]
    check_suite(suite, request, choices, chosen, name)
    for given in [*request.settings, *(["epochs"] if request.epochs else [])]:
        if (taken := sum(takes(row, given) for row in suite.runs)) < len(suite.runs):
            click.echo(
                f"{given} is for {taken} of {len(suite.runs)} rows: the others have none, or their own.", err=True
            )
    return planned(suite, chosen, request, choices)


def _one_after_another(wanted: Sequence[Request], quiet: bool) -> list[str]:
    """Make all runs in this process; returns a line for each that failed, which `--status` then finds too."""
    from contextlib import suppress

    from dfrd_bench.cli.progress import watching
    from dfrd_bench.cli.session import show_traceback, stops
    from dfrd_bench.cli.streams import one_line
    from dfrd_bench.errors import DfrdBenchError, out_of_memory
    from dfrd_bench.execution.jobs import FAILED, job_folder, write_outcome
    from dfrd_bench.execution.protocol import Job
    from dfrd_bench.runs.plan import named
    from dfrd_bench.runs.run import fulfil

    failed: list[str] = []
    for number, (job, name) in enumerate(zip(wanted, named(wanted), strict=True), start=1):
        click.echo(f"[{number}/{len(wanted)}] {name}", err=True)
        try:
            with watching(quiet) as observer:
                finished = fulfil(job, observer)
            click.echo(finished.folder)
        except (DfrdBenchError, RuntimeError, MemoryError) as error:
            if not isinstance(error, DfrdBenchError) and not out_of_memory(error):
                raise
            failed.append(f"{one_line(name)}: {one_line(error)}")
            show_traceback()
            click.echo(f"Error: {failed[-1]}", err=True)
            with suppress(DfrdBenchError):  # the reason may be that nothing can be written there
                write_outcome(Job(number, job, job_folder(job)), FAILED, why=one_line(error))
        stops().safe_point()
    return failed


def _launched(wanted: Sequence[Request], launcher: Launcher, means: Means, quiet: bool) -> list[str]:
    """Have a launcher make all runs; returns a line for each that failed."""
    from contextlib import closing

    from dfrd_bench.cli.launching import Launched
    from dfrd_bench.cli.session import stops
    from dfrd_bench.execution.driving import drive

    told = Launched(len(wanted), quiet)
    with closing(drive(launcher, wanted, means, stops())) as events:
        told.follow(events)
    return told.failed


def _say_how_they_stand(wanted: Sequence[Request]) -> None:
    from dfrd_bench.cli.standing import print_standings
    from dfrd_bench.execution.status import standings

    print_standings(standings(wanted))
