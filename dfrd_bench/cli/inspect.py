"""`dfrd-bench inspect`: what synthetic images are to the teacher they were made from."""

from __future__ import annotations

from pathlib import Path

import click

from dfrd_bench.cli import options

EPILOG = """
\b
Examples:
  dfrd-bench inspect results/
  dfrd-bench inspect results/digits --method ferd --format markdown
"""


@click.command(epilog=EPILOG)
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--method", "methods", multiple=True, metavar="NAME", help="Only its runs; may be given several times.")
@click.option(
    "--teacher",
    metavar="NAME",
    help="Where the runs' teacher is, as of a checkpoint:FILE; by its name in the records by default.",
)
@click.option(
    "--format", "style", type=click.Choice(["simple", "markdown", "csv"]), default="simple", show_default=True
)
@options.device
@options.quiet
def inspect(
    folders: tuple[Path, ...], methods: tuple[str, ...], teacher: str | None, style: str, device: str, quiet: bool
) -> None:
    """Say how sure a teacher is of the images that runs kept, how near its boundary is, and how they spread over classes."""
    import csv
    import io

    from tabulate import tabulate

    from dfrd_bench.cli.printing import usable
    from dfrd_bench.cli.progress import watching
    from dfrd_bench.errors import DfrdBenchError, unknown_name
    from dfrd_bench.reporting.escaping import cell
    from dfrd_bench.reporting.figures.samples import SAMPLES_FILE
    from dfrd_bench.reporting.found import believed, find_runs
    from dfrd_bench.reporting.portraits import HEADINGS, LEGEND, portrait_rows
    from dfrd_bench.runs.inspection import inspect_run, its_teacher

    found = usable(believed(find_runs(folders)))
    students = [(Path(where), record) for where, record in found.runs if record.spec.kind == "student"]
    known = dict.fromkeys(record.spec.method for _, record in students)
    for name in methods:
        if name not in known:
            raise unknown_name("method in these records", name, known)
    chosen = [(w, r) for w, r in students if (not methods or r.spec.method in methods) and (w / SAMPLES_FILE).exists()]
    if not chosen:
        raise DfrdBenchError(f"No run below {', '.join(map(str, folders))} has kept images ({SAMPLES_FILE}).")
    portraits, teachers = [], {}
    with watching(quiet) as observer:
        for number, (folder, record) in enumerate(chosen, start=1):
            known_by = record.spec.teacher.sha256
            if known_by not in teachers:
                teachers[known_by] = its_teacher(record, teacher, device)
            portraits.append((record, inspect_run(folder, record, teachers[known_by])))
            observer.on_data("inspecting", number, len(chosen))
    rows = portrait_rows(portraits)
    if style == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([HEADINGS, *(map(cell, row) for row in rows)])
        click.echo(text.getvalue(), nl=False)
    else:
        layout = "pipe" if style == "markdown" else "simple"
        click.echo(tabulate(rows, HEADINGS, tablefmt=layout, disable_numparse=True, stralign="right"))
        click.echo("\n" + "\n".join(LEGEND))
    if found.skipped:
        raise click.exceptions.Exit(1)
