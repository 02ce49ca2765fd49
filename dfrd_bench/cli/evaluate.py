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
  dfrd-bench evaluate student.safetensors --contest RUN --by "A. Nother" --attacks pgd20x5 --seed 1
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
    click.option("--seed", default=0, show_default=True, help="With --contest: seed of the attacks."),
    *options.MEASURING,
    options.results,
    options.jobs,
)
@click.option(
    "--contest",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Keep what is found beside the record of somebody's run of the same weights, see docs/exchange.md.",
)
@click.option("--by", metavar="NAME", help="With --contest: who you are.")
@options.threads
@options.quiet
def evaluate(target: str | None, request: Request, contest: Path | None, by: str | None, quiet: bool) -> None:
    """Evaluate a run (adding the attacks its record lacks), a teacher (recorded too), or a weights file (printed only).

    With --contest, the weights are those of a run whose record stays as it is: what you find is kept below its folder, and counts
    in its best known robust accuracy.
    """
    from dfrd_bench.cli.session import VERDICTS, leaves

    leaves(VERDICTS)
    if contest is not None:
        _contest(target, request, contest, by, quiet)
        return
    if by is not None or request.seed:
        raise DfrdBenchError("--by and --seed are for --contest RUN, which is not given.")
    if (target is None) == (request.teacher is None):
        raise DfrdBenchError("Name either a run or weights file, or --teacher NAME.")
    from dfrd_bench.cli.evaluators import fitted
    from dfrd_bench.cli.printing import print_outcome
    from dfrd_bench.cli.progress import watching
    from dfrd_bench.datasets.base import open_dataset
    from dfrd_bench.records.nearest import meant_instead
    from dfrd_bench.runs.reevaluation import evaluate_run, evaluate_teacher, evaluate_weights

    if target is not None and not Path(target).exists():
        raise DfrdBenchError(f"There is no run or weights file {target}.{meant_instead(Path(target))}")
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


def _contest(target: str | None, request: Request, run: Path, by: str | None, quiet: bool) -> None:
    """Contest a run, and say what is left of it."""
    from dfrd_bench.cli.printing import print_outcome
    from dfrd_bench.cli.progress import watching
    from dfrd_bench.evaluation.best_known import best_known
    from dfrd_bench.records.store import load_record
    from dfrd_bench.runs.contesting import contest

    if target is None or request.teacher is not None or not Path(target).is_file():
        raise DfrdBenchError(
            f"--contest {run} takes a file of that run's weights: evaluate WEIGHTS --contest {run} --by NAME."
        )
    if by is None:
        raise DfrdBenchError("Say who you are: --by NAME.")
    if request.test_images is not None or request.student is not None or request.teacher_arch is not None:
        raise DfrdBenchError(
            "The contested record names its test images and its architecture: leave --test-images and --arch out."
        )
    with watching(quiet) as observer:
        made = contest(
            target,
            run,
            by=by,
            attacks=request.attacks,
            seed=request.seed,
            dataset=request.dataset,
            data_dir=request.data_dir,
            device=request.device,
            observer=observer,
        )
    if made.cached:
        click.echo(f"Contested so before: {made.folder}")
    print_outcome(made.record.evaluation)
    found = best_known(run, load_record(run))
    mine = next((one for one in found.contests if one.folder == made.folder), None)
    if mine is not None:
        click.echo(f"Images that these attacks broke and the run's own did not: {mine.broken}")
    click.echo(f"Best known robust accuracy: {100 * found.accuracy:.2f} % (of the run alone: {100 * found.own:.2f} %)")
    for text in found.doubted:
        click.echo(f"Left out: {text}", err=True)
    click.echo(f"Recorded in {made.folder}")
