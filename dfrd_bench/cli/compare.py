"""`dfrd-bench compare`: runs on the same test images, and which differences are more than chance."""

from __future__ import annotations

from pathlib import Path

import click

STYLES = ("terminal", "markdown", "csv")
FORMATS = (*STYLES, "latex")

EPILOG = """
\b
Examples:
  dfrd-bench compare results/digits/*/*/ferd/default-seed1-* results/digits/*/*/zskt/default-seed1-*
  dfrd-bench compare RUN_A RUN_B --format csv > differences.csv
  dfrd-bench compare ferd fast dfhl --results results/digits --attacks pgd20,autoattack
  dfrd-bench compare results/digits --metrics average,worst --format latex
"""


@click.command(epilog=EPILOG)
@click.argument("members", nargs=-1, required=True, metavar="RUN|FOLDER|METHOD...")
@click.option(
    "--format", "style", type=click.Choice(FORMATS), default="terminal", show_default=True, help="What to print."
)
@click.option("--attacks", metavar="A,B", help="Of several rows: only under these; by default all that all runs have.")
@click.option("--metrics", metavar="M,N", help="Of several rows: only these: average, worst, nsd.")
@click.option(
    "--results", type=click.Path(path_type=Path), default="results", show_default=True, help="Where methods' runs are."
)
def compare(members: tuple[str, ...], style: str, attacks: str | None, metrics: str | None, results: Path) -> None:
    """Compare runs, folders of runs, or methods, which must have their predictions and the same test images.

    Two runs image by image: for every metric under every attack that both were evaluated with the difference, its 95%
    interval and its p-value (paired bootstrap over test images), and McNemar's test for the average.

    Anything else as a matrix: runs that differ in nothing but their seed are one row, and every two rows are compared over
    test images and seeds, corrected after Holm for all comparisons that are shown.
    """
    from dfrd_bench.cli.printing import say
    from dfrd_bench.records.store import RECORD_FILE
    from dfrd_bench.reporting.comparison.differences import compare_runs
    from dfrd_bench.reporting.comparison.grids import render_matrix
    from dfrd_bench.reporting.comparison.matrix import compare_rows, members_of
    from dfrd_bench.reporting.comparison.text import render_comparison
    from dfrd_bench.runs.request import names

    runs = [Path(name) for name in members if (Path(name) / RECORD_FILE).exists() or _looks_like_a_path(name)]
    plain = style in STYLES and attacks is None and metrics is None
    if len(members) == len(runs) == 2 and plain and not any(_holds_runs(path) for path in runs):
        comparison = compare_runs(*runs)
        warnings, text = comparison.warnings, render_comparison(comparison, style)
    else:
        chosen = (None if attacks is None else names(attacks), None if metrics is None else names(metrics))
        matrix = compare_rows(members_of(members, results), *chosen)
        warnings, text = matrix.warnings, render_matrix(matrix, style)
    if style == "csv":  # the one format without room for them
        for warning in warnings:
            click.echo(f"Warning: {warning}", err=True)
    say(text)


def _looks_like_a_path(name: str) -> bool:
    from dfrd_bench.registry import METHODS

    return name not in METHODS.names()


def _holds_runs(path: Path) -> bool:
    """Whether a folder is no run's, but has runs below it."""
    from dfrd_bench.records.store import RECORD_FILE

    return path.is_dir() and not (path / RECORD_FILE).exists() and any(path.rglob(RECORD_FILE))
