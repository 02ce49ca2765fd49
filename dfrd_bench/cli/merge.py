"""`dfrd-bench merge`: results of machines that never met, in one folder."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import click

EPILOG = """
\b
Examples:
  dfrd-bench merge /mnt/laptop/results /mnt/cluster/results --into results/
  dfrd-bench merge /tmp/results/digits/*/*/ferd/default-seed1-* --into results/
"""


@click.command(epilog=EPILOG)
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FROM…")
@click.option("--into", required=True, type=click.Path(path_type=Path), metavar="DIR", help="The results folder.")
def merge(sources: tuple[Path, ...], into: Path) -> None:
    """Copy the runs that a results folder lacks from others, and say what was taken.

    Each is verified first, and its folder appears whole or not at all. Nothing that is there is changed. Exit code 1 if a
    record is refused: one that does not hold, or another one of the same hash than is there.
    """
    from dfrd_bench.cli.session import TAKEN, leaves
    from dfrd_bench.cli.streams import one_line
    from dfrd_bench.runs.merging import merge as merged

    leaves(TAKEN)
    count: Counter[str] = Counter()
    for one in merged(sources, into):
        count[one.verdict] += 1
        line = f"{one.verdict:7}  {one.folder}" + (f"  →  {one.place}" if one.place else "")
        click.echo(one_line(line))
        if one.why:
            click.echo(f"         {one_line(one.why)}")
    click.echo(f"{count['taken']} taken, {count['there']} there already, {count['refused']} refused.")
    if count["refused"]:
        sys.exit(1)
