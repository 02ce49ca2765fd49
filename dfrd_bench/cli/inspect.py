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

    from dfrd_bench.cli.progress import watching
    from dfrd_bench.errors import DfrdBenchError, unknown_name
    from dfrd_bench.reporting.figures.samples import SAMPLES_FILE
    from dfrd_bench.reporting.found import find_runs
    from dfrd_bench.reporting.portraits import HEADINGS, LEGEND, portrait_rows
    from dfrd_bench.runs.inspection import inspect_run

    found = find_runs(folders)
    for sentence in found.skipped:
        click.echo(sentence, err=True)
    students = [(Path(where), record) for where, record in found.runs if record.spec.kind == "student"]
    known = dict.fromkeys(record.spec.method for _, record in students)
    for name in methods:
        if name not in known:
            raise unknown_name("method in these records", name, known)
    chosen = [(w, r) for w, r in students if (not methods or r.spec.method in methods) and (w / SAMPLES_FILE).exists()]
    if not chosen:
        raise DfrdBenchError(f"No run below {', '.join(map(str, folders))} has kept images ({SAMPLES_FILE}).")
    portraits = []
    with watching(quiet) as observer:
        for number, (folder, record) in enumerate(chosen, start=1):
            portraits.append((record, inspect_run(folder, record, teacher=teacher, device=device)))
            observer.on_data("inspecting", number, len(chosen))
    rows = portrait_rows(portraits)
    if style == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([HEADINGS, *rows])
        click.echo(text.getvalue(), nl=False)
        return
    click.echo(
        tabulate(
            rows,
            HEADINGS,
            tablefmt="pipe" if style == "markdown" else "simple",
            disable_numparse=True,
            stralign="right",
        )
    )
    click.echo("\n" + "\n".join(LEGEND))
