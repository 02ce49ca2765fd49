"""`dfrd-bench audit`: numbers, recorded or published, that cannot be or do not fit together."""

from __future__ import annotations

import sys
from pathlib import Path

import click

ALL, LIST = "all", "list"

EPILOG = """
\b
Kinds of findings:
  impossible     against arithmetic or a metric's definition
  contradictory  two numbers that should be one and are not
  suspicious     against what the attacks do in practice; possible, but look again

\b
Examples:
  dfrd-bench audit results
  dfrd-bench audit --published                     all published tables
  dfrd-bench audit --published ferd:table2         one of them; or a paper: ferd
  dfrd-bench audit --published list                which there are
  dfrd-bench audit results --format csv > findings.csv
"""


@click.command("audit", epilog=EPILOG)
@click.argument("results", nargs=-1, type=click.Path(path_type=Path), metavar="[RESULTS_DIR]...")
@click.option(
    "--published",
    is_flag=False,
    flag_value=ALL,
    metavar="[PAPER[:TABLE]]",
    help="Audit the tables that the papers print: all, a paper's, or the one that is named; `list`: say which there are.",
)
@click.option(
    "--format", "style", type=click.Choice(["text", "csv"]), default="text", show_default=True, help="What to print."
)
def audit(results: tuple[Path, ...], published: str | None, style: str) -> None:
    """Check that the numbers of runs, or of the papers' tables, can be and fit together.

    Stronger attacks leave less than weaker ones, the worst class is below the average, NSD fits the per-class values,
    every number follows from the confusion matrix, all rows of a table share teacher and test images, and what is
    printed twice agrees. RESULTS_DIR is `results` unless it or --published is given.

    The exit code is 0 if no rule is broken, 1 if one is or some records are invalid, and 2 for bad input.
    """
    from dfrd_bench.cli.printing import say, usable
    from dfrd_bench.errors import DfrdBenchError
    from dfrd_bench.reporting.audit.findings import FORMATS
    from dfrd_bench.reporting.audit.published import audit_published, overview
    from dfrd_bench.reporting.audit.recorded import audit_runs
    from dfrd_bench.reporting.found import find_runs
    from dfrd_bench.reporting.papers import papers
    from dfrd_bench.reporting.published import published as every_table
    from dfrd_bench.reporting.published import tables_called

    if published is not None and published not in (ALL, LIST) and Path(published).is_dir():
        raise DfrdBenchError(f"--published takes the name of a table; name the folder {published} before it.")
    tables = list(every_table()) if published in (None, ALL, LIST) else tables_called(str(published))
    if published == LIST:
        say(overview(tables))
        return
    findings, skipped = [], []
    if results or published is None:
        found = usable(find_runs(results or (Path("results"),)))
        skipped = found.skipped
        findings += audit_runs(found.runs)
    if published is not None:
        findings += audit_published(names=tables)
        shown = dict.fromkeys(name.partition(":")[0] for name in tables)
        about = "".join(f"Version of {name}: {papers()[name].source}.\n" for name in shown)
        about += "" if published == ALL else overview(tables)
        if style == "csv":  # which has no room for them
            click.echo(about, err=True, nl=False)
        else:
            say(f"{about}\n")
    say(FORMATS[style](findings))
    if findings or skipped:
        sys.exit(1)
