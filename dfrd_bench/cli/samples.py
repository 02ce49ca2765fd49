"""`dfrd-bench samples`: look at what a run synthesized."""

from __future__ import annotations

from pathlib import Path

import click

EPILOG = """
\b
Example:
  dfrd-bench samples results/digits/digits-wrn-10-2/wrn-10-1/ferd/default-seed1-96fe9e44
"""


@click.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--columns", default=10, show_default=True, type=click.IntRange(1, 50), help="Images per class.")
@click.option("--rows", default=10, show_default=True, type=click.IntRange(1, 200), help="Classes.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="RUN/samples.png by default.")
def samples(run: Path, columns: int, rows: int, output: Path | None) -> None:
    """Draw a grid of a run's synthetic images, a row per class as the teacher sees it."""
    from dfrd_bench.records.store import load_record
    from dfrd_bench.reporting.figures.samples import PICTURE_FILE, draw_samples, load_samples

    info = load_record(run).dataset.info
    target = output or run / PICTURE_FILE
    draw_samples(load_samples(run, info), info.class_names, target, columns=columns, rows=rows)
    click.echo(target)
