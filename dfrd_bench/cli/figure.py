"""`dfrd-bench figure`: pictures of what a run was measured to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfrd_bench.cli import options

if TYPE_CHECKING:
    from dfrd_bench.evaluation.curve import Curve

CONFUSION_EXAMPLES = """
\b
Examples:
  dfrd-bench figure confusion results/digits/digits-wrn-10-2/wrn-10-1/ferd/default-seed1-96fe9e44
  dfrd-bench figure confusion RUN --attack pgd20 --output pgd20.pdf
"""
CURVE_EXAMPLES = """
\b
Examples:
  dfrd-bench figure curve results/digits/digits-wrn-10-2/wrn-10-1/ferd/default-seed1-96fe9e44
  dfrd-bench figure curve RUN --attack pgd20x5 --output curve.pdf
"""


@click.group(epilog=CONFUSION_EXAMPLES + CURVE_EXAMPLES.partition("Examples:\n")[2])
def figure() -> None:
    """Draw figures of a run, from its record or from its weights."""


@figure.command(epilog=CONFUSION_EXAMPLES)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--attack", metavar="NAME", help="Draw only this attack; by default all that were run.")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="RUN/confusion.png by default."
)
def confusion(run: Path, attack: str | None, output: Path | None) -> None:
    """Draw RUN's confusion matrix under every attack, and the classes its misclassified images are taken for.

    Rows are true classes, columns predicted ones; darker is a larger share of the true class. The bars below show of all
    misclassified images the share taken for each class; their entropy is 1 where no class is preferred.
    """
    from dfrd_bench.evaluation.contradictions import believed_record
    from dfrd_bench.reporting.figures.confusion import CONFUSION_FILE, confusion_figure, save_figure

    target = output or run / CONFUSION_FILE
    save_figure(confusion_figure(believed_record(run), attack), target)
    click.echo(target)


@figure.command(epilog=CURVE_EXAMPLES)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--attack", default="pgd20", show_default=True, metavar="NAME", help="Any that keeps within ε.")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="RUN/curve.png by default."
)
@click.option("--dataset", metavar="NAME", help="Where the images are, e.g. imagefolder:PATH.")
@options.data_dir
@options.device
@options.quiet
def curve(
    run: Path,
    attack: str,
    output: Path | None,
    dataset: str | None,
    data_dir: str | None,
    device: str,
    quiet: bool,
) -> None:
    """Attack RUN's stored weights at growing ε, and draw the accuracy that is left: on average, and of the worst class.

    ε goes from 0 over a quarter and a half of the run's own to the run's own, and doubles from there until nothing is left, at
    most up to 1; the step is ε/4. Where the accuracy does not fall to 0, gradients are hidden from the attack (or the network
    takes all images for one class), and what it leaves at the run's ε is not to be trusted either.
    """
    from dfrd_bench.cli.progress import watching
    from dfrd_bench.evaluation.contradictions import believed_record
    from dfrd_bench.records.files import check_writable
    from dfrd_bench.reporting.figures.confusion import picture_format, save_figure
    from dfrd_bench.reporting.figures.curve import CURVE_FILE, curve_figure
    from dfrd_bench.runs.sweep import sweep_run

    record, target = believed_record(run), output or run / CURVE_FILE
    picture_format(target)  # what is wrong with it is said now, not after the attacks
    check_writable(target)
    with watching(quiet) as observer:
        found = sweep_run(run, attack=attack, dataset=dataset, data_dir=data_dir, device=device, observer=observer)
    _print_curve(found)
    save_figure(curve_figure(record, found), target)
    click.echo(target)


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
    console(width=120).print(table)
    for note in found.notes:
        click.echo(f"Warning: {note}", err=True)
    if not found.reaches_zero:
        click.echo(
            f"Warning: under {title} the accuracy does not fall to 0: {100 * found.points[-1].average:.2f} % are right even at "
            "ε = 1, where any image can become any other. Gradients are hidden from it, its steps do not get there, or the "
            "network takes all images for one class.",
            err=True,
        )
