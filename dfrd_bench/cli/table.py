"""`dfrd-bench table`: the papers' table from the records of finished runs."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import click

from dfrd_bench.cli.paper_options import Notes, for_a_paper, into_file, paper_of

INDEX = "index"
FORMATS = ("terminal", "markdown", "latex", "csv", "html")  # of tables

EPILOG = """
\b
Examples:
  dfrd-bench table results
  dfrd-bench table results --teacher --attacks clean,pgd20,autoattack
  dfrd-bench table results --suite main --teacher --brief
  dfrd-bench table results --suite fair-ard --inherited --attacks autoattack
  dfrd-bench table results --ci --attacks pgd20,autoattack
  dfrd-bench table results --suite conversion
  dfrd-bench table results --attacks autoattack --cost
  dfrd-bench table results --stages --attacks pgd20,autoattack
  dfrd-bench table results --format latex --wide --metrics average,worst --caption "Digits." --output table.tex
  dfrd-bench table results --columns clean_average,autoattack_average,autoattack_worst
  dfrd-bench table results --published ferd:table1
  dfrd-bench table results --tracks both
  dfrd-bench table results --format index --output results/index.csv      no table: a row of CSV per run and attack
"""


@click.command("table", epilog=EPILOG)
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RESULTS_DIR...")
@click.option(
    "--format",
    "style",
    type=click.Choice((*FORMATS, INDEX)),
    default="terminal",
    show_default=True,
    help="What to print; csv: a row per table row; index: CSV with a row per run and attack, of teachers too.",
)
@click.option(
    "--attacks", metavar="A,B", help="Show only these attacks, e.g. clean,pgd20; by default all that were run."
)
@click.option("--metrics", metavar="M,N", help="Show only these: average, worst, nsd; by default all three.")
@click.option(
    "--columns", metavar="C,D", help="Show only these, each attack_metric, e.g. clean_average,autoattack_worst."
)
@for_a_paper
@click.option(
    "--suite", metavar="NAME", help="Show only the rows of a suite, of the package or a YAML file (see `suite`)."
)
@click.option(
    "--stages", is_flag=True, help="Show below what stood after each stage of AutoAttack, where it is recorded."
)
@click.option("--ci", is_flag=True, help="Show 95% intervals over test images instead of the spread over seeds.")
@click.option(
    "--brief",
    is_flag=True,
    help="Five numbers a method, for a first look: without attack, under the strongest one, worst class, NSD, minutes.",
)
@click.option(
    "--inherited",
    is_flag=True,
    help="The share of its teacher's robustness that a student has, class by class (Fair-ARD, table 1).",
)
@click.option("--cost", is_flag=True, help="Show below what training cost: passes per student step, time, memory.")
@click.option(
    "--tracks",
    type=click.Choice(["apart", "both"]),
    default="apart",
    show_default=True,
    help="Rank methods that see the training images apart from data-free ones, or both in one table.",
)
@click.option("--teacher", is_flag=True, help="Show the teacher as the first row of each group.")
@click.option(
    "--published",
    metavar="PAPER:TABLE",
    help="Show a paper's printed table beside ours, e.g. ferd:table1, fair-ard:table2.",
)
@into_file
def table(
    results: tuple[Path, ...],
    style: str,
    attacks: str | None,
    metrics: str | None,
    columns: str | None,
    wide: bool,
    caption: str | None,
    label: str | None,
    notes: Notes,
    suite: str | None,
    stages: bool,
    ci: bool,
    brief: bool,
    inherited: bool,
    cost: bool,
    tracks: Literal["apart", "both"],
    teacher: bool,
    published: str | None,
    output: Path | None,
) -> None:
    """Print the papers' table from the records below RESULTS_DIR.

    Rows are methods, grouped by dataset, teacher and student; methods that see the training images have tables of their own
    unless --tracks both ranks them with the others. Columns are average accuracy, worst-class accuracy (from
    100 classes on that of the worst 10%) and NSD under each attack. The best value of a group is bold; a dagger marks it
    and all that the test images cannot tell from it (docs/statistics.md); the best of the rest is underlined. A double dagger
    marks rows that the gradient attacks flatter (docs/records.md), § rows of which others broke more images
    (docs/exchange.md), ¶ rows that are not by today's code of their method; seeds made by different code are never averaged.
    Several seeds become mean ± standard deviation. As LaTeX, no
    table is wider than a column (with --wide, than two), in type of at least 7 points; one that would be becomes several. With
    --published, a method's printed row and the difference (ours minus theirs) stand below ours, and the title says what makes
    them not comparable. With --suite, only the rows of one of the papers' tables are shown, whatever else lies below
    RESULTS_DIR. --format index takes --attacks, --suite and --output only.

    A record that cannot be read, or whose numbers do not follow from its confusion matrices, predictions, weights and folder,
    is named and left out; the exit code is 1 then.
    """
    from dfrd_bench.cli.printing import put, usable
    from dfrd_bench.errors import DfrdBenchError
    from dfrd_bench.records.suites import load_suite
    from dfrd_bench.reporting.evidence import predictions_beside_records
    from dfrd_bench.reporting.found import (
        believed,
        find_runs,
        runs_of_suite,
        with_shipped_teachers,
        with_trained_teachers,
    )
    from dfrd_bench.reporting.tables.beside import beside, published_rows
    from dfrd_bench.reporting.tables.brief import render_brief
    from dfrd_bench.reporting.tables.build import build_tables
    from dfrd_bench.reporting.tables.choice import narrowed
    from dfrd_bench.reporting.tables.contested import contests_of, with_contests
    from dfrd_bench.reporting.tables.cost import with_cost
    from dfrd_bench.reporting.tables.inherited import render_inherited
    from dfrd_bench.reporting.tables.rendering import render
    from dfrd_bench.reporting.tables.stages import with_stages
    from dfrd_bench.runs.request import names

    paper = paper_of(style, wide, caption, label, notes)
    if published is not None and (metrics or columns):
        raise DfrdBenchError("--published shows the paper's columns: leave --metrics and --columns out.")
    if brief and (metrics or columns or published or ci or cost or stages):
        raise DfrdBenchError("--brief has columns of its own: leave other choices of them out.")
    if inherited and (metrics or columns or published or ci or cost or stages or brief):
        raise DfrdBenchError("--inherited has columns of its own: leave other choices of them out.")
    teacher = teacher or inherited
    if style == INDEX:
        given = [("metrics", metrics), ("columns", columns), ("published", published), ("stages", stages), ("ci", ci)]
        given += [
            ("cost", cost),
            ("teacher", teacher and not inherited),
            ("brief", brief),
            ("inherited", inherited),
            ("tracks", tracks == "both"),
        ]
        if said := [name for name, value in given if value]:
            raise DfrdBenchError(f"--format index has a row for every run and attack: leave --{said[0]} out.")
    chosen = None if attacks is None else names(attacks)
    printed = None if published is None else published_rows(published, chosen)
    rows = None if suite is None else load_suite(suite)
    found = usable(believed(find_runs(results)))
    runs = found.runs if rows is None else runs_of_suite(found.runs, rows)
    if style == INDEX:
        from dfrd_bench.reporting.index import index

        put(index(runs, chosen), output)
        sys.exit(1 if found.skipped else 0)
    runs = with_shipped_teachers(with_trained_teachers(runs, results)) if teacher else runs
    tables = build_tables(
        runs,
        attacks=chosen,
        teachers=teacher,
        evidence=predictions_beside_records(chosen),
        intervals=ci or style == "csv",
        stages=stages,
        tracks=tracks,
    )
    contested = contests_of(runs)
    if not tables:
        raise DfrdBenchError("Only teachers were evaluated here, no student. Add --teacher to show them.")
    kept = (None if metrics is None else names(metrics), None if columns is None else names(columns))
    tables = [with_contests(narrowed(result, *kept), contested) for result in tables]
    if rows is not None:
        tables = [replace(result, subject=rows.title) for result in tables]
    if cost:
        tables = [with_cost(result) for result in tables]
    if printed is not None:
        tables = [beside(result, printed) for result in tables]
    if style == "csv":  # the one format without room for them
        for warning in (text for result in with_stages(tables) for text in result.warnings):
            click.echo(f"Warning: {warning}", err=True)
    if brief or inherited:
        put((render_brief if brief else render_inherited)(tables, style), output)
    elif output is None and style == "terminal" and sys.stdout.isatty():
        from dfrd_bench.cli.printing import SafeConsole
        from dfrd_bench.reporting.tables.terminal import renderable

        SafeConsole().print(renderable(tables))
    else:
        put(render(tables, style, paper), output)
    if found.skipped:
        sys.exit(1)
