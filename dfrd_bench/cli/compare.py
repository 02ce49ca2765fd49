"""`dfrd-bench compare`: runs on the same test images, and which differences are more than chance."""

from __future__ import annotations

from pathlib import Path

import click

from dfrd_bench.cli.paper_options import Notes, for_a_paper, into_file, paper_of

STYLES = ("terminal", "markdown", "csv")
FORMATS = (*STYLES, "latex")

EPILOG = """
\b
Examples:
  dfrd-bench compare results/digits/*/*/ferd/default-seed1-* results/digits/*/*/zskt/default-seed1-*
  dfrd-bench compare RUN_A RUN_B --format csv -o differences.csv
  dfrd-bench compare ferd fast dfhl --results results/digits --attacks pgd20,autoattack
  dfrd-bench compare --suite main --results results/digits --metrics average
  dfrd-bench compare results/digits --metrics average,worst --format latex --wide --label tab:differences
"""


@click.command(epilog=EPILOG)
@click.argument("members", nargs=-1, metavar="[RUN|FOLDER|METHOD]...")
@click.option(
    "--format", "style", type=click.Choice(FORMATS), default="terminal", show_default=True, help="What to print."
)
@click.option("--attacks", metavar="A,B", help="Of several rows: only under these; by default all that all runs have.")
@click.option("--metrics", metavar="M,N", help="Of several rows: only these: average, worst, nsd.")
@click.option("--suite", metavar="NAME", help="Only the rows of a suite, in its order: of the package, or a YAML file.")
@for_a_paper
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    default="results",
    show_default=True,
    help="Where methods' runs are, and a suite's where no others are named.",
)
@into_file
def compare(
    members: tuple[str, ...],
    style: str,
    attacks: str | None,
    metrics: str | None,
    suite: str | None,
    wide: bool,
    caption: str | None,
    label: str | None,
    notes: Notes,
    results: Path,
    output: Path | None,
) -> None:
    """Compare runs, folders of runs, methods, or a suite's rows, which must have their predictions and the same test images.

    Two runs image by image: for every metric under every attack that both were evaluated with the difference, its 95%
    interval and its p-value (paired bootstrap over test images), and McNemar's test for the average.

    Anything else as a matrix: runs that differ in nothing but their seed are one row, and every two rows are compared over
    test images and seeds, corrected after Holm for all comparisons that are shown. Runs by different code of a method are
    different rows; one that is not by today's is marked with ¶. As LaTeX, a table for each attack, no wider than a column (with
    --wide, than two).
    """
    from dfrd_bench.cli.printing import put
    from dfrd_bench.errors import DfrdBenchError
    from dfrd_bench.records.store import RECORD_FILE
    from dfrd_bench.records.suites import load_suite
    from dfrd_bench.reporting.comparison.differences import compare_runs
    from dfrd_bench.reporting.comparison.grids import render_matrix
    from dfrd_bench.reporting.comparison.matrix import compare_rows
    from dfrd_bench.reporting.comparison.members import members_of
    from dfrd_bench.reporting.comparison.text import render_comparison
    from dfrd_bench.runs.request import names

    paper = paper_of(style, wide, caption, label, notes)
    wanted = None if suite is None else load_suite(suite)
    if not members and wanted is None:
        raise DfrdBenchError("Name what is to be compared: two runs, folders, methods, or --suite NAME.")
    runs = [Path(name) for name in members if (Path(name) / RECORD_FILE).exists() or _looks_like_a_path(name)]
    plain = style in STYLES and attacks is None and metrics is None and wanted is None
    if len(members) == len(runs) == 2 and plain and not any(_holds_runs(path) for path in runs):
        comparison = compare_runs(*runs)
        warnings, text = (*comparison.warnings, *comparison.about_codes), render_comparison(comparison, style)
    else:
        chosen = (None if attacks is None else names(attacks), None if metrics is None else names(metrics))
        matrix = compare_rows(members_of(members or [str(results)], results), *chosen, suite=wanted)
        warnings = (*matrix.warnings, *matrix.about_codes, *matrix.absent)
        text = render_matrix(matrix, style, paper)
    if style == "csv":  # the one format without room for them
        for warning in warnings:
            click.echo(f"Warning: {warning}", err=True)
    put(text, output)


def _looks_like_a_path(name: str) -> bool:
    from dfrd_bench.registry import METHODS

    return name not in METHODS.names()


def _holds_runs(path: Path) -> bool:
    """Whether a folder is no run's, but has runs below it."""
    from dfrd_bench.records.store import RECORD_FILE

    return path.is_dir() and not (path / RECORD_FILE).exists() and any(path.rglob(RECORD_FILE))
