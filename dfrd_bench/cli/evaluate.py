"""`dfrd-bench evaluate`: a recorded run, a teacher, or a file of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dfrd_bench.cli import options
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.runs.request import Request

EPILOG = """
\b
Examples:
  dfrd-bench evaluate results/digits/digits-wrn-10-2/wrn-10-1/ferd/default-seed1-96fe9e44
  dfrd-bench evaluate --teacher digits-wrn-10-2
  dfrd-bench evaluate student.safetensors --arch wrn-10-1 --dataset digits --attacks clean,pgd20
  dfrd-bench evaluate --teacher digits-wrn-10-2 --test-images 100
  dfrd-bench evaluate results/…/default-seed1-96fe9e44 --attacks autoattack --jobs 8     batches side by side
"""


@click.command(epilog=EPILOG)
@click.argument("target", required=False, metavar="[RUN_OR_CHECKPOINT]")
@options.request(
    click.option("--teacher", metavar="NAME", help="Evaluate this teacher instead."),
    options.teacher_arch,
    options.architecture("Architecture of a weights file (see `list students`)."),
    click.option(
        "--dataset", metavar="NAME", help="See `list datasets`; digits, or what the run's record names, by default."
    ),
    *options.IMAGES[1:],
    *options.MEASURING,
    options.results,
    options.jobs,
)
@options.threads
@options.quiet
def evaluate(target: str | None, request: Request, quiet: bool) -> None:
    """Evaluate a run (adding the attacks its record lacks), a teacher (recorded too), or a weights file (printed only)."""
    if (target is None) == (request.teacher is None):
        raise DfrdBenchError("Name either a run or weights file, or --teacher NAME.")
    from dfrd_bench.cli.evaluators import fitted
    from dfrd_bench.cli.printing import print_outcome
    from dfrd_bench.cli.progress import watching
    from dfrd_bench.datasets.base import open_dataset
    from dfrd_bench.runs.reevaluation import evaluate_run, evaluate_teacher, evaluate_weights

    if target is not None and not Path(target).exists():
        raise DfrdBenchError(f"There is no run or weights file {target}.")
    if target is not None and Path(target).is_file() and request.student is None:
        raise DfrdBenchError(f"Name the architecture of {target} with --arch (see `dfrd-bench list students`).")
    is_run = target is not None and Path(target).is_dir()
    if is_run and (request.test_images is not None or request.student is not None):
        raise DfrdBenchError(
            "A run's record names its test images and its architecture: leave --test-images and --arch out."
        )
    if request.teacher_arch is not None and request.teacher is None:
        raise DfrdBenchError("--teacher-arch is the architecture of --teacher checkpoint:PATH, which is not given.")
    if request.student is not None and target is None:
        raise DfrdBenchError("--arch is the architecture of a weights file: for a teacher give --teacher-arch.")
    where = None if target is None or not is_run else Path(target)
    request = fitted(request)
    with watching(quiet) as observer:
        common: dict[str, Any] = {"attacks": request.attacks, "device": request.device, "observer": observer}
        common["jobs"] = request.evaluation_jobs
        if where is not None:
            found = evaluate_run(where, dataset=request.dataset, data_dir=request.data_dir, **common).evaluation
        else:
            common |= {"dataset": open_dataset(**request.images, progress=observer.on_data), "results": request.results}
            if target is not None:
                found, _ = evaluate_weights(target, architecture=str(request.student), **common)
            else:
                name, architecture = str(request.teacher), request.teacher_arch
                where, record = evaluate_teacher(name, architecture=architecture, **common)
                found = record.evaluation
    print_outcome(found)
    if where is not None:
        click.echo(f"Recorded in {where}")
