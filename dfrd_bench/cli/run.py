"""`dfrd-bench run`: the main job."""

from __future__ import annotations

from dataclasses import replace

import click

from dfrd_bench.cli import options
from dfrd_bench.runs.request import Request

EPILOG = """
\b
Examples:
  dfrd-bench run --method ferd --dataset digits
  dfrd-bench run --method ferd --set gamma=0.3 --set utae=false --seed 1
  dfrd-bench run --method zskt --epochs 5 --attacks clean,pgd20
  dfrd-bench run --method ferd --dataset cifar10 --dry-run --device cuda      what a GPU takes, planned anywhere
  dfrd-bench run --config run.yaml --seed 1
  dfrd-bench run --method ferd --probe 5 --results probed/
  dfrd-bench run --method ferd --observer jsonl=ferd.jsonl --observer tensorboard=logs
  dfrd-bench run --method ferd --dataset cifar10 --jobs 4          trained by one process, evaluated by four
  dfrd-bench run --method ferd --force                          anew, though it is finished
  dfrd-bench run --method ferd --dataset imagefolder:birds --teacher checkpoint:t.pt --teacher-arch wrn-16-2
"""


@click.command(epilog=EPILOG)
@options.request(
    click.option("--method", metavar="NAME", help="See `dfrd-bench list methods`."),
    *options.IMAGES,
    *options.NETWORKS,
    options.settings("A hyper-parameter (see `show METHOD`)."),
    click.option("--epochs", type=int, help="Distillation epochs (same as --set epochs=N)."),
    options.seed,
    *options.BALL,
    *options.PROBING,
    options.observers(
        "NAME[=WHERE]",
        "Also tell this one what happens, e.g. jsonl or tensorboard=logs (see `list observers`); may be given again.",
    ),
    *options.MEASURING,
    options.results,
    options.jobs,
)
@click.option("--no-conversion", is_flag=True, help="Leave a DFKD method as it was (same as --set conversion=false).")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only say what would be run, and what it would take here and on typical GPUs; nothing is downloaded.",
)
@click.option("--keep-checkpoint", is_flag=True, help="Keep the last checkpoint of the finished run.")
@click.option("--force", is_flag=True, help="Make it anew where it is finished; the old one stays until that is whole.")
@options.threads
@options.quiet
def run(
    request: Request,
    no_conversion: bool,
    dry_run: bool,
    keep_checkpoint: bool,
    force: bool,
    quiet: bool,
) -> None:
    """Distill a student without data, evaluate it under attack, and record it.

    A run that was stopped goes on where it was; one that is finished is not made again, unless its method's code was changed
    (docs/records.md, The hash).
    """
    from dfrd_bench.cli.evaluators import fitted
    from dfrd_bench.cli.printing import print_outcome
    from dfrd_bench.cli.progress import watching
    from dfrd_bench.cli.rehearsing import rehearse_run
    from dfrd_bench.cli.session import CHECKPOINTS, leaves
    from dfrd_bench.registry import ATTACKS, OBSERVERS
    from dfrd_bench.runs.run import fulfil

    if request.method is None:
        raise click.UsageError("Missing option '--method' (`dfrd-bench list methods` shows them).")
    if no_conversion:
        request = replace(request, settings={**request.settings, "conversion": False})
    if dry_run:
        ATTACKS.select(request.attacks)
        for name in request.observers:
            OBSERVERS.get(name.partition("=")[0])
        rehearse_run(request, quiet)
        return
    request = fitted(request)
    leaves(CHECKPOINTS)
    with watching(quiet) as observer:
        finished = fulfil(request, observer, keep_checkpoint=keep_checkpoint, force=force)
    if finished.cached:
        unnamed = " (its record does not say by which code it was made; --force makes it anew)"
        click.echo(f"Already run: {finished.folder}{unnamed if finished.record.spec.code is None else ''}")
    if finished.before is not None:
        same = finished.before.weights_sha256 == finished.record.weights_sha256
        click.echo(f"Made anew: {'the same student, bit for bit, as' if same else 'another student than'} before.")
    print_outcome(finished.record.evaluation, finished.record.dataset.info.class_names)
    click.echo(f"Recorded in {finished.folder}\nCompare with: dfrd-bench table {request.results} --teacher")
