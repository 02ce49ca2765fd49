"""`dfrd-bench bench`: how quick it is, beside a plain recipe that computes the same."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from dfrd_bench.cli import bench_programs, options
from dfrd_bench.cli import bench_work as shared
from dfrd_bench.cli.bench_options import (
    EXAMPLES,
    as_json,
    batch_size,
    chosen_methods,
    dataset,
    example,
    repetitions,
    steps,
    threads,
)


class Benchmarks(click.Group):
    """A wrong name gets the nearest right ones."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """As click does otherwise."""
        from dfrd_bench.errors import unknown_name

        if args and not args[0].startswith("-") and args[0] not in self.commands:
            raise unknown_name("benchmark", args[0], self.commands)
        return super().resolve_command(ctx, args)


@click.group(cls=Benchmarks, epilog=EXAMPLES)
def bench() -> None:
    """Measure how quick methods, attacks and commands are, ours and a plain recipe in turn.

    The plain recipe is the same algorithms as their authors' scripts compute them. docs/performance.md says how to read the
    numbers.
    """


bench.add_command(bench_programs.agreement)
bench.add_command(bench_programs.trainings)


@bench.command(short_help="Epochs and steps of every method, and its memory.", epilog=example("methods"))
@dataset
@options.device
@options.precision
@batch_size
@threads
@chosen_methods
@steps
@repetitions(5)
@click.option("--memory/--no-memory", default=True, help="Also peak memory, on a CPU in processes of their own.")
@as_json
@options.quiet
def methods(
    dataset: str,
    device: str,
    precision: str,
    batch_size: int | None,
    threads: int | None,
    methods: str | None,
    steps: int,
    repetitions: int,
    memory: bool,
    target: Path | None,
    quiet: bool,
) -> None:
    """Time a step of synthesis, a student step and an epoch of every method, and its peak memory."""
    case, names = shared.case(dataset, device, precision, batch_size, threads, target), shared.methods(methods)
    from dfrd_bench.benchmarks.speed import methods as measuring
    from dfrd_bench.benchmarks.speed.report import MEBIBYTE, paired

    rows: list[dict[str, Any]] = []
    with shared.progress(quiet, "methods", len(names) * (2 * (repetitions + 1) + memory)) as advance:
        for name in names:
            pairs = measuring.measure(case, name, steps=steps, repetitions=repetitions, on_turn=advance)
            rows += paired(name, pairs)
            if memory:
                used = measuring.memory(case, name, steps)
                rows[-1] |= {"plain_peak_bytes": used[0], "ours_peak_bytes": used[1]}
                advance()
    shared.say_paired(rows)
    for row in rows:
        if "ours_peak_bytes" in row:
            mine, theirs = row["ours_peak_bytes"] / MEBIBYTE, row["plain_peak_bytes"] / MEBIBYTE
            click.echo(f"{row['subject']}: peak memory plain {theirs:.0f} MiB, ours {mine:.0f} MiB")
    shared.write(target, case, {"methods": rows, "steps": steps, "repetitions": repetitions})


@bench.command(short_help="The evaluation's attacks on a teacher.", epilog=example("attacks"))
@dataset
@options.device
@threads
@click.option("--attacks", metavar="A,B", help="fgsm,pgd20,cw by default; autoattack takes long.")
@click.option("--images", default=300, show_default=True, type=click.IntRange(1), help="To attack.")
@repetitions(3)
@as_json
@options.quiet
def attacks(
    dataset: str,
    device: str,
    threads: int | None,
    attacks: str | None,
    images: int,
    repetitions: int,
    target: Path | None,
    quiet: bool,
) -> None:
    """Time the evaluation's attacks on a teacher, against plain loops (AutoAttack: against pyautoattack)."""
    case = shared.case(dataset, device, "fp32", None, threads, target)
    from dfrd_bench.benchmarks.speed import attacks as measuring
    from dfrd_bench.benchmarks.speed.report import paired
    from dfrd_bench.runs.request import names

    chosen = measuring.checked(() if attacks is None else tuple(names(attacks)))
    rows: list[dict[str, Any]] = []
    turns = sum(2 * (repetitions + (name not in measuring.SLOW)) for name in chosen)
    with shared.progress(quiet, "attacks", turns) as advance:
        for name in chosen:
            pairs, differing = measuring.measure(case, name, images, repetitions=repetitions, on_turn=advance)
            rows += paired(name, pairs, differing_verdicts=differing)
    shared.say_paired(rows)
    for row in rows:
        speeds = f"plain {1 / row['plain_wall']:.3g}, ours {1 / row['ours_wall']:.3g} images per second"
        click.echo(f"{row['subject']}: {speeds}, differing verdicts {row['differing_verdicts']}")
    shared.write(target, case, {"attacks": rows, "images": images, "repetitions": repetitions})


@bench.command(short_help="What bounds a step: launches, computing, or what else.", epilog=example("profile"))
@dataset
@options.device
@options.precision
@batch_size
@threads
@chosen_methods
@click.option("--steps", default=10, show_default=True, type=click.IntRange(4), help="Of synthesis and of the student.")
@as_json
@options.quiet
def profile(
    dataset: str,
    device: str,
    precision: str,
    batch_size: int | None,
    threads: int | None,
    methods: str | None,
    steps: int,
    target: Path | None,
    quiet: bool,
) -> None:
    """See what bounds a step: launches, how long the device computes of the wall time, and on what."""
    from tabulate import tabulate

    case, names = shared.case(dataset, device, precision, batch_size, threads, target), shared.methods(methods)
    from dfrd_bench.benchmarks.speed.profiling import profiled

    rows: list[dict[str, Any]] = []
    with shared.progress(quiet, "profile", len(names)) as advance:
        for name in names:
            rows += profiled(case, name, steps=steps)
            advance()
    click.echo(tabulate(rows, headers="keys", floatfmt=".3g"))
    shared.write(target, case, {"profile": rows, "steps": steps})


@bench.command(short_help="Importing, --help, a listing, a table of 1,000 records.", epilog=example("startup"))
@repetitions(5)
@as_json
@options.quiet
def startup(repetitions: int, target: Path | None, quiet: bool) -> None:
    """Time what is started most: importing, --help, a listing, and a table of 1,000 invented records."""
    from tabulate import tabulate

    from dfrd_bench.benchmarks.speed import startup as measuring

    shared.check(target)
    turns = len(measuring.commands(Path())) * (repetitions + 1)
    with shared.progress(quiet, "startup", turns) as advance:
        rows = measuring.rows(measuring.measure(repetitions=repetitions, on_turn=advance))
    click.echo(tabulate(rows, headers="keys", floatfmt=".3f"))
    shared.write(target, None, {"startup": rows, "repetitions": repetitions})


@bench.command(short_help="pyautoattack, autoattack and autoattack-fast.", epilog=example("autoattack"))
@click.argument("weights", type=click.Path(exists=True, path_type=Path))
@click.option("--arch", required=True, metavar="NAME", help="Architecture (see `list students`).")
@click.option("--dataset", default="digits", show_default=True, metavar="NAME", help="See `list datasets`.")
@click.option("--images", default=300, show_default=True, help="Test images: the first of each class.")
@click.option("--batch-size", default=300, show_default=True, help="Images per batch.")
@options.device
@options.seed
@click.option("--calls-only", is_flag=True, help="Only what one call costs.")
@click.option("--no-fast", is_flag=True, help="Leave autoattack-fast out.")
def autoattack(weights: Path, arch: str, **given: Any) -> None:
    """Time pyautoattack, autoattack and autoattack-fast on WEIGHTS, and compare their verdicts image by image."""
    from dfrd_bench.benchmarks.speed.autoattack import compare

    for line in compare(weights, arch, **given):
        click.echo(line)


@bench.command(
    name="all",
    short_help="Agreement, methods, attacks and startup, in turn.",
    epilog="\n\b\nExamples:\n  dfrd-bench bench all --threads 1\n",
)
@dataset
@options.device
@threads
@options.quiet
@click.pass_context
def all_(ctx: click.Context, dataset: str, device: str, threads: int | None, quiet: bool) -> None:
    """Check the agreement, then measure methods, attacks and startup, each as it is by default."""
    common = {"dataset": dataset, "device": device, "threads": threads, "quiet": quiet}
    case = shared.case(dataset, device, "fp32", 16, threads, None)
    agreed = bench_programs.agree(case, shared.methods(None), 2, None, quiet)
    ctx.invoke(methods, **common)
    ctx.invoke(attacks, **common)
    ctx.invoke(startup, quiet=quiet)
    if not agreed:
        sys.exit(1)
