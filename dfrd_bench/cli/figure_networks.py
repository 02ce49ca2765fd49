"""Kinds of `dfrd-bench figure` for which the networks of finished runs are asked again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfrd_bench.cli import options
from dfrd_bench.cli.figure_options import RUN, RUNS, Asked, output, read_runs

if TYPE_CHECKING:
    from dfrd_bench.evaluation.curve import Curve

CURVE_EXAMPLES = """
\b
Examples:
  dfrd-bench figure curve results/digits/digits-wrn-10-2/wrn-10-1/ferd/default-seed1-96fe9e44
  dfrd-bench figure curve RUN --attack pgd20x5 -o curve.pdf
"""
MOST = 3  # landscapes side by side
dataset = click.option("--dataset", metavar="NAME", help="Where the images are, e.g. imagefolder:PATH.")
teacher = click.option(
    "--teacher",
    metavar="NAME",
    help="Where the run's teacher is, as of a checkpoint:FILE; by its recorded name by default.",
)


@click.command(epilog=CURVE_EXAMPLES)
@RUN
@click.option("--attack", default="pgd20", show_default=True, metavar="NAME", help="Any that keeps within ε.")
@output("RUN/curve.png")
@dataset
@options.data_dir
@options.device
@options.quiet
def curve(
    run: Path,
    attack: str,
    output: Asked,
    dataset: str | None,
    data_dir: str | None,
    device: str,
    quiet: bool,
) -> None:
    """Attack RUN's stored weights at growing ε, and draw the accuracy that is left: on average, and of the worst class.

    ε goes from 0 over a quarter and a half of the run's own to the run's own, and doubles from there until nothing is left, at
    most up to 1; the step is ε/4. Where the accuracy does not fall to 0, gradients are hidden from the attack (or the network
    takes all images for one class), and what it leaves at the run's ε is not to be trusted either. The numbers are kept in RUN,
    as curve-ATTACK.json, where `report` finds them.
    """
    from dfrd_bench.cli.progress import watching
    from dfrd_bench.evaluation.contradictions import believed_record
    from dfrd_bench.reporting.figures.curve import CURVE_FILE, curve_figure
    from dfrd_bench.runs.sweep import sweep_run

    record, target = believed_record(run), output.place(run / CURVE_FILE)
    with watching(quiet) as observer:
        found = sweep_run(run, attack=attack, dataset=dataset, data_dir=data_dir, device=device, observer=observer)
    _print_curve(found)
    _keep(run, found, device)
    target.save(curve_figure(record, found))


@click.command(epilog="\b\nExample:\n  dfrd-bench figure landscape DEEPINV_RUN FAST_RUN --image 17 -o landscape.pdf")
@RUNS
@click.option(
    "--image",
    type=click.IntRange(min=0),
    metavar="N",
    help="Which test image; by default the first that withstands PGD-20 but not AutoAttack in the first run.",
)
@output("landscape.png")
@dataset
@options.data_dir
@options.device
@options.quiet
def landscape(
    runs: tuple[Path, ...],
    image: int | None,
    output: Asked,
    dataset: str | None,
    data_dir: str | None,
    device: str,
    quiet: bool,
) -> None:
    """Draw the loss around one test image, a panel per RUN: along the sign of the gradient, and along random signs.

    Where gradients are of use to an attacker, the loss rises steadily to the right. Ridges lead attacks astray: then gradient
    attacks flatter the network. At most three runs stand side by side.
    """
    from dfrd_bench.cli.progress import watching
    from dfrd_bench.errors import DfrdBenchError
    from dfrd_bench.reporting.figures.landscape import landscape_figure
    from dfrd_bench.runs.looking import Where, landscapes, telling_image

    if len(runs) > MOST:
        raise DfrdBenchError(f"At most {MOST} runs have room side by side, not {len(runs)}.")
    target, read = output.place(Path("landscape.png")), read_runs(runs)
    number = telling_image(*read[0]) if image is None else image
    with watching(quiet) as observer:
        where = Where(dataset=dataset, data_dir=data_dir, device=device, observer=observer)
        found = landscapes(read, number, where)
    target.save(landscape_figure([(record, one) for (_, record), one in zip(read, found, strict=True)], number))


@click.command(epilog="\b\nExample:\n  dfrd-bench figure features RUN --projection tsne -o features.pdf")
@RUN
@click.option(
    "--projection",
    type=click.Choice(["pca", "tsne"]),
    default="pca",
    show_default=True,
    help="pca: of the real images, with the synthetic ones put into its plane; tsne: of both (needs scikit-learn).",
)
@output("features.png")
@teacher
@dataset
@options.data_dir
@options.device
@options.quiet
def features(
    run: Path,
    projection: str,
    output: Asked,
    teacher: str | None,
    dataset: str | None,
    data_dir: str | None,
    device: str,
    quiet: bool,
) -> None:
    """Draw the teacher's features, before its last layer, of test images and of the synthetic images that RUN kept."""
    from dfrd_bench.cli.progress import watching
    from dfrd_bench.evaluation.features import projected
    from dfrd_bench.reporting.figures.features import features_figure
    from dfrd_bench.runs.looking import Where, features_of

    target, ((folder, record),) = output.place(Path("features.png")), read_runs([run])
    with watching(quiet) as observer:
        where = Where(dataset=dataset, data_dir=data_dir, teacher=teacher, device=device, observer=observer)
        found = features_of(folder, record, where)
        observer.on_data(projection, 0, 1)
        points = projected(found, projection)
        observer.on_data(projection, 1, 1)
    target.save(features_figure(record, found, points, projection))


@click.command(
    "synthetic-confusion", epilog="\b\nExample:\n  dfrd-bench figure synthetic-confusion RUN -o synthetic.pdf"
)
@RUN
@click.option("--attack", default="pgd20", show_default=True, metavar="NAME", help="One that RUN was evaluated with.")
@output("synthetic-confusion.png")
@teacher
@options.device
@options.quiet
def synthetic_confusion(run: Path, attack: str, output: Asked, teacher: str | None, device: str, quiet: bool) -> None:
    """Draw RUN's confusion matrix on test images under an attack, beside those on the synthetic images that RUN kept.

    These are attacked alike, and made into uniform-target adversarial examples (UTAE) as well; their true class is the one that
    the teacher gives them.
    """
    from dfrd_bench.cli.progress import watching
    from dfrd_bench.errors import unknown_name
    from dfrd_bench.reporting.figures.confusion import synthetic_figure
    from dfrd_bench.runs.looking import Where, synthetic_confusion

    target, ((folder, record),) = output.place(Path("synthetic-confusion.png")), read_runs([run])
    if attack not in record.evaluation.attacks:
        raise unknown_name("attack in this record", attack, record.evaluation.attacks)
    with watching(quiet) as observer:
        found = synthetic_confusion(folder, record, attack, Where(teacher=teacher, device=device, observer=observer))
    target.save(synthetic_figure(record, attack, found))


def _keep(run: Path, found: Curve, device: str) -> None:
    """Keep the numbers in the run's folder, if that can be written: the picture is drawn all the same."""
    from dfrd_bench.errors import DfrdBenchError
    from dfrd_bench.runs.sweep import keep_sweep

    try:
        click.echo(f"Kept for `report`: {keep_sweep(run, found, device=device)}", err=True)
    except DfrdBenchError as error:
        click.echo(f"Warning: the numbers are not kept for `report`. {error}", err=True)


def _print_curve(found: Curve) -> None:
    """Its numbers, and what they warn of."""
    from rich.table import Table

    from dfrd_bench.cli.printing import console
    from dfrd_bench.reporting.tables.comparability import level
    from dfrd_bench.reporting.tables.layout import attack_title

    title = attack_title(found.attack)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("ε", f"{title} average %", "worst class %"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for point in found.points:
        own = "the run's own" if point.eps == found.eps else ""
        table.add_row(level(point.eps), f"{100 * point.average:.2f}", f"{100 * point.worst_class:.2f}", own)
    console().print(table)
    for note in found.notes:
        click.echo(f"Warning: {note}", err=True)
    if not found.reaches_zero:
        click.echo(
            f"Warning: under {title} the accuracy does not fall to 0: {100 * found.points[-1].average:.2f} % are right even at "
            "ε = 1, where any image can become any other. Gradients are hidden from it, its steps do not get there, or the "
            "network takes all images for one class.",
            err=True,
        )
