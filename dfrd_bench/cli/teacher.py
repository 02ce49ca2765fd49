"""`dfrd-bench teacher`: robust teachers of one's own."""

from __future__ import annotations

import shlex

import click

from dfrd_bench.cli import options
from dfrd_bench.runs.request import Request

EPILOG = """
\b
Examples:
  dfrd-bench teacher train --dataset digits
  dfrd-bench teacher train --arch wrn-16-2 --method sat --output sat.safetensors
  dfrd-bench teacher train --set robust_weight=3 --set ema=0.999 --attacks clean,pgd20 --output beta3.safetensors
  dfrd-bench teacher train --dataset cifar10 --arch wrn-16-2 --dry-run
  dfrd-bench teacher train --dataset tiny-imagenet --arch preactresnet-34 --method trades --precision bf16
"""


@click.group()
def teacher() -> None:
    """Train robust teachers on real images."""


@teacher.command(short_help="Train one, evaluate it, and record both.", epilog=EPILOG)
@options.request(
    *options.IMAGES,
    options.architecture(
        "See `list students`; by default of digits and on a CPU wrn-10-2, of cifar10 and cifar100 wrn-34-10, of tiny-imagenet "
        "preactresnet-34, else the student that the dataset has by default."
    ),
    click.option("--method", metavar="NAME", help="Such as natural, sat, trades; trades by default."),
    click.option("--epochs", type=int, help="Training epochs; 110 by default, on digits 40."),
    options.settings("A hyper-parameter (see `show METHOD`)."),
    options.seed,
    *options.BALL,
    options.precision,
    *options.MEASURING,
    click.option(
        "-o",
        "--output",
        type=click.Path(dir_okay=False),
        metavar="FILE",
        help="Where the weights go; results/teachers/DATASET-ARCH-METHOD-seedN.safetensors by default.",
    ),
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Only say what would be trained, and what it would take here and on typical GPUs; nothing is downloaded.",
)
@options.threads
@options.quiet
def train(request: Request, dry_run: bool, quiet: bool) -> None:
    """Train a robust teacher, write its weights, evaluate it on the test images, and record both beside the weights.

    A training that was stopped goes on where it was; a teacher that is finished is not trained again.

    It is the run of a method that needs no teacher. Its hyper-parameters are the literature's for CIFAR-10, under the
    dataset's own recipe (together the preset `teacher`), under what is set here: epochs, batch_size, lr, schedule, lr_warmup,
    weight_decay, ema, crop_padding, label_smoothing, attack_steps, attack_step, robust_weight (the β of TRADES), …
    """
    from dfrd_bench.cli.printing import print_outcome
    from dfrd_bench.cli.progress import watching
    from dfrd_bench.cli.rehearsing import rehearse_run
    from dfrd_bench.cli.session import CHECKPOINTS, leaves
    from dfrd_bench.runs.preparation import teacher_request
    from dfrd_bench.runs.run import fulfil

    if dry_run:
        rehearse_run(teacher_request(request), quiet)
        return
    leaves(CHECKPOINTS)
    with watching(quiet) as observer:
        trained = fulfil(teacher_request(request), observer)
    if trained.cached:
        unnamed = " (its record does not say by which code)" if trained.record.spec.code is None else ""
        click.echo(f"Already trained: {trained.weights}{unnamed}")
    print_outcome(trained.record.evaluation, trained.record.dataset.info.class_names)
    use = shlex.join(("--teacher", f"checkpoint:{trained.weights}", "--teacher-arch", trained.record.spec.student))
    click.echo(f"Weights in {trained.weights}, recorded in {trained.folder}\nUse them with: {use}")
