"""`dfrd-bench list`: what can be named."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfrd_bench.errors import DfrdBenchError, unknown_name

if TYPE_CHECKING:
    from dfrd_bench.registry import Entry

EPILOG = """
\b
Examples:
  dfrd-bench list methods
  dfrd-bench list methods --known               what there is elsewhere, and why it is not here
  dfrd-bench list attacks --json
  dfrd-bench list teachers --dataset cifar10
  dfrd-bench list runs results                 finished, at work, or stopped where
"""
RUNS = "runs"
NOT_USABLE = "not usable, see below"
KINDS = ("methods", "datasets", "teachers", "students", "attacks", "launchers", "observers", "suites", RUNS)


@click.command("list", epilog=EPILOG)
@click.argument("kind", metavar="|".join(KINDS))
@click.argument("folder", required=False, type=click.Path(path_type=Path), metavar="[RESULTS]")
@click.option("--dataset", metavar="NAME", help="Only teachers for this dataset, RobustBench's one by one.")
@click.option("--known", is_flag=True, help="Methods that are known and not here: where they are from, and why.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def list_(kind: str, folder: Path | None, dataset: str | None, known: bool, as_json: bool) -> None:
    """List what can be named: the name, one line about it, and the distribution it comes from.

    `list runs` shows the runs below RESULTS (results by default): those that are finished with their average accuracies, and
    of the others whether somebody is at work there, or where they stopped.
    """
    if kind not in KINDS:
        raise unknown_name("kind", kind, KINDS)
    if folder is not None and kind != RUNS:
        raise DfrdBenchError(f"A folder is for `list runs`, not for `list {kind}`.")
    if dataset is not None and kind != "teachers":
        raise DfrdBenchError(f"--dataset is for `list teachers`, not for `list {kind}`.")
    if known and kind != "methods":
        raise DfrdBenchError(f"--known is for `list methods`, not for `list {kind}`.")
    if known:
        _list_known(as_json)
        return
    if kind == RUNS:
        _list_runs(folder or Path("results"), as_json)
        return
    entries = _entries(kind, dataset)
    if as_json:
        shown = [dataclasses.asdict(entry) for entry in entries]
        if kind != "methods":
            shown = [{name: value for name, value in entry.items() if name != "sees"} for entry in shown]
        click.echo(json.dumps(shown, indent=1, ensure_ascii=False))
        return
    from rich.markup import escape
    from rich.table import Table

    from dfrd_bench.cli.printing import console

    table = Table(box=None, pad_edge=False, header_style="bold")
    sees = ["sees"] if kind == "methods" else []
    for heading in ("name", "what it is", *sees, "from"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "name")
    for entry in entries:
        what = NOT_USABLE if entry.problem else entry.summary
        cells = (entry.name, what, *([entry.sees] if sees else []), entry.distribution)
        table.add_row(*map(escape, cells), style="red" if entry.problem else "")
    place = console()
    place.print(table)
    for entry in entries:
        if entry.problem:  # below the table, which it would make as wide as itself
            place.print(
                f"{entry.name} of {entry.distribution}: {entry.problem}", style="red", markup=False, soft_wrap=True
            )


def _list_runs(results: Path, as_json: bool) -> None:
    """Show how far each run below a folder came, unfinished ones last."""
    from collections import Counter

    from dfrd_bench.runs.overview import runs_below

    found = sorted(runs_below(results), key=lambda run: run.status != "finished")
    if as_json:
        shown = [{**dataclasses.asdict(run), "folder": str(run.folder)} for run in found]
        click.echo(json.dumps(shown, indent=1, ensure_ascii=False))
        return
    from rich.markup import escape
    from rich.table import Table

    from dfrd_bench.cli.printing import console

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("run", "status", "where, or average accuracies (%)"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "status")
    for run in found:
        by = "by other code than today's" if run.other_code else ""
        where = "; ".join(filter(None, (run.where, run.error, by)))
        style = "" if run.status in ("finished", "at work") else "red"
        table.add_row(*map(escape, (str(run.folder.relative_to(results)), run.status, where)), style=style)
    console().print(table)
    counts = Counter(run.status for run in found)
    click.echo(f"{len(found)} runs below {results}: {', '.join(f'{n} {status}' for status, n in counts.items())}.")
    if counts["stopped"]:
        click.echo("The command that began a stopped run goes on from there, if its method's code is still the same.")


def _list_known(as_json: bool) -> None:
    """Show what `known_methods` finds that is not installed."""
    from dfrd_bench.registry import METHODS
    from dfrd_bench.reporting.known import known_methods

    elsewhere = {name: method for name, method in known_methods().items() if name not in METHODS.names()}
    if as_json:
        shown = [{"name": name, **method.model_dump()} for name, method in elsewhere.items()]
        click.echo(json.dumps(shown, indent=1, ensure_ascii=False))
        return
    from rich.markup import escape
    from rich.table import Table

    from dfrd_bench.cli.printing import console

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("name", "what it is", "venue", "sees", "why it is not here", "link"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "name")
    for name, method in elsewhere.items():
        cells = (name, method.summary, method.venue, method.sees, method.why, method.link)
        table.add_row(*map(escape, cells))
    console().print(table)


def _entries(kind: str, dataset: str | None) -> list[Entry]:
    from dfrd_bench.registry import OWN_DISTRIBUTION, REGISTRIES, Entry

    if kind == "suites":
        from dfrd_bench._version import __version__
        from dfrd_bench.records.suites import load_suite, suite_names

        return [Entry(name, f"{OWN_DISTRIBUTION} {__version__}", load_suite(name).title) for name in suite_names()]
    if dataset is not None:
        from dfrd_bench.teachers.base import teachers_for

        return teachers_for(dataset)
    return REGISTRIES[kind].entries()
