"""`dfrd-bench run`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dfrd_bench.cli import options

EPILOG = """
\b
Examples:
  dfrd-bench run --method ferd --dataset digits
  dfrd-bench run --method ferd --set gamma=0.3 --set utae=false --seed 1
  dfrd-bench run --method zskt --epochs 5 --attacks clean,pgd20
  dfrd-bench run --method ferd --dataset cifar10 --dry-run
  dfrd-bench run --method ferd --dataset imagefolder:birds --teacher checkpoint:t.pt --teacher-arch wrn-16-2
"""


@click.command(epilog=EPILOG)
@click.option("--method", required=True, metavar="NAME", help="See `dfrd-bench list methods`.")
@click.option("--dataset", default="digits", show_default=True, metavar="NAME", help="See `list datasets`.")
@options.data_dir
@options.test_images
@click.option("--teacher", metavar="NAME", help="See `list teachers`; the dataset's own by default.")
@options.teacher_arch
@click.option("--student", metavar="NAME", help="See `list students`; the dataset's own by default.")
@click.option(
    "--preset", default="default", show_default=True, help="Budget: default, quick, paper, or cpu (not for digits)."
)
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A hyper-parameter (see `show METHOD`).")
@click.option("--epochs", type=int, help="Distillation epochs (same as --set epochs=N).")
@click.option("--no-conversion", is_flag=True, help="Leave a DFKD method as it was (same as --set conversion=false).")
@click.option("--seed", default=0, show_default=True, help="Seed of every random draw.")
@click.option("--eps", type=float, help="Radius of the L∞ ball; the dataset's by default.")
@click.option("--step", type=float, help="Step size of the attacks; the dataset's by default.")
@options.precision
@options.compiled
@options.attacks
@options.device
@options.results
@click.option("--dry-run", is_flag=True, help="Only say what would be run, and what it would cost on this device.")
@click.option("--keep-checkpoint", is_flag=True, help="Keep the last checkpoint of the finished run.")
@options.quiet
def run(
    method: str,
    dataset: str,
    data_dir: str | None,
    test_images: int | None,
    teacher: str | None,
    teacher_arch: str | None,
    student: str | None,
    preset: str,
    settings: tuple[str, ...],
    epochs: int | None,
    no_conversion: bool,
    seed: int,
    eps: float | None,
    step: float | None,
    precision: str,
    compiled: bool,
    attacks: str,
    device: str,
    results: str,
    dry_run: bool,
    keep_checkpoint: bool,
    quiet: bool,
) -> None:
    """Distill a student without data, evaluate it under attack, and record it.

    A run that was stopped goes on where it was; one that is finished is not made again.
    """
    from dfrd_bench.cli.outcome import print_outcome
    from dfrd_bench.cli.progress import watching
    from dfrd_bench.experiment import run as run_experiment
    from dfrd_bench.registry import ATTACKS

    values = options.parse_settings(settings)
    if no_conversion:
        values["conversion"] = False
    request: dict[str, Any] = {
        **{"data_dir": data_dir, "test_images": test_images, "teacher": teacher, "teacher_arch": teacher_arch},
        **{"student": student, "preset": preset, "settings": values, "epochs": epochs, "seed": seed},
        **{"eps": eps, "step": step, "precision": precision, "compile": compiled, "device": device},
    }
    if dry_run:
        ATTACKS.select(options.names(attacks))
        _rehearse(method, dataset, results, request, quiet)
        return
    with watching(quiet) as observer:
        finished = run_experiment(
            method,
            dataset,
            results=results,
            attacks=options.names(attacks),
            observer=observer,
            keep_checkpoint=keep_checkpoint,
            **request,
        )
    if finished.cached:
        click.echo(f"Already run: {finished.folder}")
    print_outcome(finished.record.evaluation)
    click.echo(f"Recorded in {finished.folder}\nCompare with: dfrd-bench table {results} --teacher")


def _rehearse(method: str, dataset: str, results: str, request: dict[str, Any], quiet: bool) -> None:
    """Print the resolved spec, what it costs here, and where it would be recorded."""
    from dfrd_bench.cli.progress import watching
    from dfrd_bench.rehearsal import describe, rehearse
    from dfrd_bench.request import Request, prepare

    with watching(quiet) as observer:
        prepared = prepare(Request(method, dataset, **request), observer)
    click.echo(prepared.spec.model_dump_json(indent=1))
    with watching(quiet) as observer:
        cost = rehearse(prepared, observer.on_data)
    for name, text in describe(prepared, cost).items():
        click.echo(f"{name + ':':18} {text}")
    folder = prepared.spec.folder(Path(results))
    click.echo(f"{'folder:':18} {folder}" + (" (already run)" if (folder / "record.json").exists() else ""))
