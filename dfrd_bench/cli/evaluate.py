"""`dfrd-bench evaluate`: a recorded run, a teacher, or a file of weights."""

from __future__ import annotations

from pathlib import Path

import click

from dfrd_bench.cli import options
from dfrd_bench.errors import DfrdBenchError

EPILOG = """
\b
Examples:
  dfrd-bench evaluate results/digits/digits-wrn-10-2/wrn-10-1/ferd/default-seed1-6022cc0c
  dfrd-bench evaluate --teacher digits-wrn-10-2
  dfrd-bench evaluate student.safetensors --arch wrn-10-1 --dataset digits --attacks clean,pgd20
  dfrd-bench evaluate --teacher digits-wrn-10-2 --test-images 100
"""


@click.command(epilog=EPILOG)
@click.argument("target", required=False, metavar="[RUN_OR_CHECKPOINT]")
@click.option("--teacher", metavar="NAME", help="Evaluate this teacher instead.")
@options.teacher_arch
@click.option("--arch", metavar="NAME", help="Architecture of a weights file (see `list students`).")
@click.option(
    "--dataset", metavar="NAME", help="See `list datasets`; digits, or what the run's record names, by default."
)
@options.data_dir
@options.test_images
@options.attacks
@options.device
@options.results
@options.quiet
def evaluate(
    target: str | None,
    teacher: str | None,
    teacher_arch: str | None,
    arch: str | None,
    dataset: str | None,
    data_dir: str | None,
    test_images: int | None,
    attacks: str,
    device: str,
    results: str,
    quiet: bool,
) -> None:
    """Evaluate a run (adding the attacks its record lacks), a teacher (recorded too), or a weights file (printed only)."""
    if (target is None) == (teacher is None):
        raise DfrdBenchError("Name either a run or weights file, or --teacher NAME.")
    from dfrd_bench.cli.outcome import print_outcome
    from dfrd_bench.cli.progress import watching
    from dfrd_bench.datasets.base import open_dataset
    from dfrd_bench.measurement import evaluate_weights
    from dfrd_bench.recorded_evaluation import evaluate_run, evaluate_teacher

    chosen = options.names(attacks)
    if target is not None and not Path(target).exists():
        raise DfrdBenchError(f"There is no run or weights file {target}.")
    if target is not None and Path(target).is_file() and arch is None:
        raise DfrdBenchError(f"Name the architecture of {target} with --arch (see `dfrd-bench list students`).")
    is_run = target is not None and Path(target).is_dir()
    if is_run and (test_images is not None or arch is not None):
        raise DfrdBenchError(
            "A run's record names its test images and its architecture: leave --test-images and --arch out."
        )
    where = ""
    with watching(quiet) as observer:
        if not is_run:
            images = open_dataset(
                dataset or "digits", data_dir=data_dir, test_images=test_images, progress=observer.on_data
            )
        if teacher is not None:
            folder, record = evaluate_teacher(
                teacher,
                dataset=images,
                architecture=teacher_arch,
                attacks=chosen,
                results=results,
                device=device,
                observer=observer,
            )
            evaluation, where = record.evaluation, f"Recorded in {folder}"
        elif is_run:
            evaluation = evaluate_run(
                str(target), attacks=chosen, dataset=dataset, data_dir=data_dir, device=device, observer=observer
            ).evaluation
            where = f"Recorded in {target}"
        else:
            evaluation, _ = evaluate_weights(
                str(target),
                architecture=str(arch),
                dataset=images,
                attacks=chosen,
                results=results,
                device=device,
                observer=observer,
            )
    print_outcome(evaluation)
    if where:
        click.echo(where)
