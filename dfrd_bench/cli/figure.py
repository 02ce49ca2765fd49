"""`dfrd-bench figure`: pictures of what a run was measured to do."""

from __future__ import annotations

from pathlib import Path

import click

EPILOG = """
\b
Examples:
  dfrd-bench figure confusion results/digits/digits-wrn-10-2/wrn-10-1/ferd/default-seed1-6022cc0c
  dfrd-bench figure confusion RUN --attack pgd20 --output pgd20.pdf
"""


@click.group(epilog=EPILOG)
def figure() -> None:
    """Draw figures from a run's record."""


@figure.command(epilog=EPILOG)
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
    from dfrd_bench.records.store import load_record
    from dfrd_bench.reporting.figures.confusion import CONFUSION_FILE, confusion_figure, save_figure

    target = output or run / CONFUSION_FILE
    save_figure(confusion_figure(load_record(run), attack), target)
    click.echo(target)
