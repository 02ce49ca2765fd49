"""`dfrd-bench bench agreement` and `trainings`: whether ours and the plain recipe compute the same, and end alike."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfrd_bench.cli import bench_work as shared
from dfrd_bench.cli import options
from dfrd_bench.cli.bench_options import as_json, chosen_methods, dataset, example, threads

if TYPE_CHECKING:
    from dfrd_bench.benchmarks.speed.cases import Case


def agree(case: Case, names: tuple[str, ...], steps: int, target: Path | None, quiet: bool) -> bool:
    """Print how far each method's losses are apart; whether all are within the tolerance."""
    from dataclasses import asdict

    from dfrd_bench.benchmarks.speed.agreement import TOLERANCE, agreement

    found = []
    with shared.progress(quiet, "agreement", len(names)) as advance:
        for name in names:
            found.append(agreement(case, name, steps=steps))
            advance()
    for each in found:
        verdict = "agrees" if each.holds else "DIFFERS"
        click.echo(f"{each.method:14} {verdict}  {each.difference:.1e} at most, in {each.steps} steps ({each.where})")
    worst = max(found, key=lambda each: each.difference)
    click.echo(f"Largest difference {worst.difference:.1e}, of {worst.method}; the tolerance is {TOLERANCE:.0e}.")
    shared.write(target, case, {"agreement": [asdict(each) for each in found], "tolerance": TOLERANCE})
    return all(each.holds for each in found)


@click.command(short_help="Whether ours and the plain recipe compute the same.", epilog=example("agreement"))
@dataset
@options.device
@click.option("--batch-size", type=int, default=16, show_default=True, metavar="N", help="Images per batch.")
@threads
@chosen_methods
@click.option(
    "--steps", default=2, show_default=True, type=click.IntRange(1), help="Of synthesis and of the student per epoch."
)
@as_json
@options.quiet
def agreement(
    dataset: str,
    device: str,
    batch_size: int,
    threads: int | None,
    methods: str | None,
    steps: int,
    target: Path | None,
    quiet: bool,
) -> None:
    """Check that ours and the plain recipe compute the same losses, in float32; exit code 1 if they do not."""
    case, names = shared.case(dataset, device, "fp32", batch_size, threads, target), shared.methods(methods)
    if not agree(case, names, steps, target, quiet):
        sys.exit(1)


@click.command(short_help="Whether students of ours and of the plain recipe end alike.", epilog=example("trainings"))
@options.device
@threads
@chosen_methods
@click.option("--seeds", default="0-2", show_default=True, metavar="LIST", help="Seeds: 0,1,2 or 0-2.")
@click.option("--epochs", type=click.IntRange(1), metavar="N", help="Of a training; the preset's by default.")
@click.option("--warmup-epochs", type=click.IntRange(0), metavar="N", help="Of these; the preset's by default.")
@click.option("--attacks", default="clean,pgd20", show_default=True, metavar="A,B", help="On the test images.")
@as_json
@options.quiet
def trainings(
    device: str,
    threads: int | None,
    methods: str | None,
    seeds: str,
    epochs: int | None,
    warmup_epochs: int | None,
    attacks: str,
    target: Path | None,
    quiet: bool,
) -> None:
    """Train students on digits by both programs, with several seeds, and attack them."""
    from dataclasses import asdict

    from dfrd_bench.benchmarks.speed.trainings import PROGRAMS, table, train
    from dfrd_bench.cli.printing import say
    from dfrd_bench.records.seeds import parse_seeds
    from dfrd_bench.registry import ATTACKS
    from dfrd_bench.runs.request import names

    case, chosen = shared.case("digits", device, "fp32", None, threads, target), shared.methods(methods)
    wanted, asked = parse_seeds(seeds), tuple(ATTACKS.select(names(attacks)))
    given = {"epochs": epochs, "warmup_epochs": warmup_epochs}
    changes = {name: value for name, value in given.items() if value is not None}
    found = []
    with shared.progress(quiet, "trainings", len(chosen) * len(wanted) * len(PROGRAMS)) as advance:
        for method in chosen:
            for seed in wanted:
                for program in PROGRAMS:
                    found.append(train(case, method, program, seed, asked, **changes))
                    advance()
    say(table(found) + "\n")
    shared.write(target, case, {"trainings": [asdict(each) for each in found], "changes": changes})
