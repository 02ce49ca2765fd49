"""`dfrd-bench compare`: two runs on the same test images, and which differences are more than chance."""

from __future__ import annotations

from pathlib import Path

import click

STYLES = ("terminal", "markdown", "csv")

EPILOG = """
\b
Examples:
  dfrd-bench compare results/digits/*/*/ferd/default-seed1-* results/digits/*/*/zskt/default-seed1-*
  dfrd-bench compare RUN_A RUN_B --format csv > differences.csv
"""


@click.command(epilog=EPILOG)
@click.argument("run_a", type=click.Path(path_type=Path))
@click.argument("run_b", type=click.Path(path_type=Path))
@click.option(
    "--format", "style", type=click.Choice(STYLES), default="terminal", show_default=True, help="What to print."
)
def compare(run_a: Path, run_b: Path, style: str) -> None:
    """Compare the runs in two folders, RUN_A and RUN_B, image by image.

    For every metric under every attack that both were evaluated with: the difference, its 95% interval and its p-value
    (paired bootstrap over test images), and McNemar's test for the average. Both must have their predictions and the
    same test images.
    """
    from dfrd_bench.cli.printing import say
    from dfrd_bench.reporting.comparison.differences import compare_runs
    from dfrd_bench.reporting.comparison.text import render_comparison

    comparison = compare_runs(run_a, run_b)
    if style == "csv":  # the one format without room for them
        for warning in comparison.warnings:
            click.echo(f"Warning: {warning}", err=True)
    say(render_comparison(comparison, style))
