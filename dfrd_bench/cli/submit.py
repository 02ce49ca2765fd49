"""`dfrd-bench submit`: runs for a shared results repository, or whether what was handed in is still what it was."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import click

from dfrd_bench.cli import options
from dfrd_bench.errors import DfrdBenchError

EPILOG = """
\b
Examples:
  dfrd-bench submit results/digits/digits-wrn-10-2/wrn-10-1/ferd/default-seed* --to ../results-repository --by "A. Author"
  dfrd-bench submit --to ../results-repository --check
"""


@click.command(epilog=EPILOG)
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path), metavar="[RUN]...")
@click.option(
    "--to", "into", required=True, type=click.Path(path_type=Path), metavar="DIR", help="The results folder there."
)
@click.option("--by", metavar="NAME", help="Who hands them in.")
@click.option("--check", is_flag=True, help="Hand nothing in: compare the files there with the manifests.")
@options.quiet
def submit(runs: tuple[Path, ...], into: Path, by: str | None, check: bool, quiet: bool) -> None:
    """Verify and audit runs, copy those that hold into a results repository, and write a manifest of what was taken.

    A run that `verify` finds a difference in, or the audit something impossible or contradictory, is refused with what was found;
    what is only suspicious is said, and stands in the manifest. Exit code 1 if one is refused, or with --check if a file differs.
    """
    from dfrd_bench.cli.progress import watching
    from dfrd_bench.cli.streams import one_line
    from dfrd_bench.exchange.submission import check_submissions
    from dfrd_bench.exchange.submission import submit as submitted

    if check:
        if runs or by is not None:
            raise DfrdBenchError("--check looks at what is there: leave RUN and --by out.")
        found = list(check_submissions(into))
        for text in found:
            click.echo(one_line(text))
        click.echo(f"{len(found)} differences." if found else "Every file is what was handed in.")
        sys.exit(1 if found else 0)
    if not runs:
        raise DfrdBenchError("Name the runs to hand in, or --check.")
    if by is None:
        raise DfrdBenchError("Say who hands them in: --by NAME.")
    with watching(quiet) as observer:
        outcomes, manifest = submitted(runs, into, by=by, progress=observer.on_data)
    count = Counter(one.verdict for one in outcomes)
    for one in outcomes:
        click.echo(one_line(f"{one.verdict:7}  {one.folder}" + (f"  →  {one.place}" if one.place else "")))
        for text in one.findings:
            click.echo(f"         {one_line(text)}")
        for text in one.remarks:
            click.echo(f"         look again: {one_line(text)}")
    click.echo(f"{count['taken']} taken, {count['there']} there already, {count['refused']} refused.")
    if manifest is not None:
        click.echo(f"Manifest: {manifest}")
    if count["refused"]:
        sys.exit(1)
