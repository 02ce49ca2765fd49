"""`dfrd-bench report`: the results as a site that opens from disk."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dfrd_bench.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dfrd_bench.observer import Observer
    from dfrd_bench.records.schema import Record
    from dfrd_bench.reporting.found import Found

EPILOG = """
\b
Examples:
  dfrd-bench report results/ -o site/             open site/index.html: no server, no network
  dfrd-bench report results/ -o report.html --single-file
  dfrd-bench report results/digits -o site/ --published ferd:table1
"""


@click.command(epilog=EPILOG)
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RESULTS_DIR...")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where the site goes: a new folder, or that of an earlier report; with --single-file a file.",
)
@click.option("--single-file", is_flag=True, help="Write one HTML file with everything in it.")
@click.option(
    "--title",
    default="Data-free robust distillation",
    show_default=True,
    metavar="TEXT",
    help="What the site is called.",
)
@click.option(
    "--published",
    multiple=True,
    metavar="PAPER:TABLE",
    help="Show a paper's printed table beside ours, with its version, e.g. ferd:table1; may be given several times.",
)
@options.quiet
def report(
    results: tuple[Path, ...], output: Path, single_file: bool, title: str, published: tuple[str, ...], quiet: bool
) -> None:
    """Make a static site of the records below RESULTS_DIR: leaderboards, charts, a page per run and method, comparisons.

    It opens from disk and loads nothing from anywhere else. Only records that agree with the evidence beside them are shown;
    the others are named on the first page, and the exit code is 1 then. index.json holds all of its numbers for programs.
    Needs the extra: pip install "dfrd-bench[report]".
    """
    from dfrd_bench.cli.printing import usable
    from dfrd_bench.cli.progress import watching
    from dfrd_bench.records.files import check_writable
    from dfrd_bench.reporting.found import find_runs, with_shipped_teachers, with_trained_teachers
    from dfrd_bench.reporting.site.report import build_report, write_file, write_folder
    from dfrd_bench.reporting.site.writing import check_folder
    from dfrd_bench.reporting.tables.beside import published_rows

    printed = [published_rows(name) for name in published]
    if single_file:
        _check_file(output)
        check_writable(output)
    else:
        check_folder(output)
    with watching(quiet) as observer:
        found = usable(_believed(find_runs(results), observer))
        made = build_report(
            with_shipped_teachers(with_trained_teachers(found.runs, results)),
            results,
            found.skipped,
            title=title,
            again=_again,
            published=printed,
            step=observer.on_data,
        )
        write_file(made, output) if single_file else write_folder(made, output)
    counted = ", ".join(
        f"{n} {what}{'s' * (n != 1)}" for n, what in ((len(made.runs), "record"), (len(made.boards), "leaderboard"))
    )
    click.echo(f"{output if single_file else output / 'index.html'}: {counted}.")
    if found.skipped:
        sys.exit(1)


def _check_file(output: Path) -> None:
    from dfrd_bench.errors import DfrdBenchError

    if output.is_dir():
        raise DfrdBenchError(f"{output} is a folder: name a file for --single-file, e.g. {output / 'report.html'}.")


def _believed(found: Found, observer: Observer) -> Found:
    """As `found.believed`, record by record, so that somebody can watch."""
    from dfrd_bench.reporting.found import Found, believed

    runs, skipped = [], [*found.skipped]
    for number, run in enumerate(found.runs, start=1):
        part = believed(Found([run], []))
        runs += part.runs
        skipped += part.skipped
        observer.on_data("records", number, len(found.runs))
    return Found(runs, skipped)


def _again(record: Record) -> tuple[dict[str, Any], Sequence[str]]:
    """The request that makes a record's run once more, and what it cannot know."""
    from dfrd_bench.runs.subject import request_again

    request, unknown = request_again(record)
    return request.to_dict(), unknown
