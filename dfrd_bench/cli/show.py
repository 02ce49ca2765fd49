"""`dfrd-bench show`: one method, its paper and the values that will be used; or a finished run, or what it was asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

import click

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.registry import METHODS

EPILOG = """
\b
Examples:
  dfrd-bench show ferd
  dfrd-bench show ferd --preset quick --dataset cifar10     the values that will be used
  dfrd-bench show ferd-released                             and how it differs from ferd
  dfrd-bench show results/digits/digits-wrn-10-2/wrn-10-1/ferd/default-seed1-96fe9e44
  dfrd-bench show results/digits/digits-wrn-10-2/wrn-10-1/ferd/default-seed1-96fe9e44 --as-config > run.yaml
"""


@click.command(epilog=EPILOG)
@click.argument("method", metavar="METHOD_OR_RUN")
@click.option("--dataset", metavar="NAME", help="Also show the values that a run on this dataset would use.")
@click.option(
    "--preset",
    metavar="NAME",
    help="Of these, those of a budget: default, quick, paper, …; on digits if no other is named.",
)
@click.option("--json", "as_json", is_flag=True, help="The hyper-parameters' JSON schema; of a run, its record.")
@click.option(
    "--as-config", is_flag=True, help="Of a finished run, in its folder: the file for `run --config` that makes it."
)
def show(method: str, dataset: str | None, preset: str | None, as_json: bool, as_config: bool) -> None:
    """Show a method's paper and every hyper-parameter: default, meaning and source; or show a run.

    With --dataset and --preset also the values that a run would use. Of a method that is built on another, e.g. with its
    released code's choices, what differs. Of a run's folder: what it was, how it was made, its numbers, its warnings in
    full and its files; how each attack was set, by its record, and what this version has where the record is silent. Of an
    unfinished run, where it stopped.
    """
    if as_config:
        _show_config(Path(method), as_json)
    elif method not in METHODS.names() and Path(method).is_dir():
        if dataset or preset:
            raise DfrdBenchError(f"{method} is a run, which has its own: leave --dataset and --preset out.")
        _show_run(Path(method), as_json)
    else:
        _show_method(method, dataset, preset, as_json)


def _show_method(method: str, dataset: str | None, preset: str | None, as_json: bool) -> None:
    """Print a method's reference, and its hyper-parameters as a table."""
    from rich.markup import escape
    from rich.table import Table

    from dfrd_bench.cli.printing import console
    from dfrd_bench.datasets.base import open_dataset
    from dfrd_bench.reporting.codes import short
    from dfrd_bench.reporting.hyperparameters import lines
    from dfrd_bench.reporting.tables.comparability import threat_text
    from dfrd_bench.runs.preparation import resolve_config
    from dfrd_bench.runs.request import Request, is_cpu
    from dfrd_bench.summaries import first_line

    found = METHODS.get(method)
    if as_json:
        click.echo(json.dumps(found.Config.model_json_schema(), indent=1, ensure_ascii=False))
        return
    name = dataset or ("digits" if preset else None)
    images = open_dataset(name, on_cpu=is_cpu("auto")) if name else None
    used = resolve_config(Request(method=method, preset=preset), found, images)[0] if images else None
    budget = preset or (images.default_preset if images else "default")
    place, reference = console(), found.reference
    table = Table(box=None, pad_edge=False, header_style="bold")
    used_here = [f"used: {name}, {budget}"] if images else []
    for heading in ("hyper-parameter", "default", *used_here, "meaning", "source"):
        table.add_column(escape(heading), overflow="fold", no_wrap=heading == "hyper-parameter")
    given = (images.info, images.threat) if images else (None, None)
    for line in lines(found.Config, used, *given):
        value = [f"[bold]{escape(line.used)}[/bold]" if line.changed else escape(line.used)] if images else []
        table.add_row(escape(line.name), escape(line.default), *value, escape(line.meaning), escape(line.source))
    place.print(f"[bold]{escape(method)}[/bold]  {escape(first_line(found))}")
    place.print(f"{reference.title}\n{reference.venue}, {reference.link}", markup=False)
    place.print(f"provided by {METHODS.distribution(method)}, code {short(METHODS.code(method))}")
    if images and used:
        made = ", ".join(f"{count:,} {what}" for what, count in used.made().items())
        place.print(f"on {name}: {made}" if made else "", markup=False)
        teacher = images.default_teacher or "none of its own: name one with --teacher"
        place.print(f"student {images.default_student}, teacher {teacher}, {threat_text(images.threat)}", markup=False)
    place.print()
    place.print(table)
    _show_kin(method)


def _show_kin(method: str) -> None:
    """Print how a method differs from the one that it is built on."""
    from rich.markup import escape
    from rich.table import Table

    from dfrd_bench.cli.printing import console
    from dfrd_bench.reporting.hyperparameters import kin

    if (differs := kin(METHODS.get(method))) is None:
        return
    place = console()
    place.print(f"\n[bold]Differs from {escape(differs.parent)}[/bold]")
    if differs.values:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in ("hyper-parameter", "here", f"in {differs.parent}", "what it is, and whose choice this is"):
            table.add_column(escape(heading), overflow="fold", no_wrap=heading == "hyper-parameter")
        for row in differs.values:
            table.add_row(*map(escape, row))
        place.print(table)
    if differs.added:
        place.print(f"has beside that: {', '.join(differs.added)}", markup=False)
    for name, said in differs.rules:
        place.print(f"{name}: {said}", markup=False)
    if not (differs.values or differs.added or differs.rules):
        place.print("in nothing that it declares", markup=False)


def _show_run(run: Path, as_json: bool) -> None:
    """Print a run: its account and its numbers; of an unfinished one where it stopped."""
    from dfrd_bench.cli.printing import console, print_outcome, say
    from dfrd_bench.evaluation.contradictions import contradictions
    from dfrd_bench.records.store import RECORD_FILE, load_record
    from dfrd_bench.reporting.account import account_of
    from dfrd_bench.reporting.attack_settings import settings_of_attacks
    from dfrd_bench.runs.overview import standing

    if not (run / RECORD_FILE).exists() and (state := standing(run)).spec:
        say(f"{run}\n{state.status}: {state.where}\n" + (f"its last error: {state.error}\n" if state.error else ""))
        say(
            "It was begun by other code than today's: the command that began it begins anew, under another hash.\n"
            if state.other_code
            else "The command that began it goes on from there.\n"
        )
        return
    record = load_record(run)
    if as_json:
        say(json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")
        return
    wrong = tuple(contradictions(run, record))
    for text in wrong:
        click.echo(f"Not to be believed: {text}", err=True)
    account = account_of(run, record, wrong)
    place = console()
    place.print(f"{account.title}\n{run}\n", style="bold", markup=False, soft_wrap=True)
    _print_pairs(account.what)
    _print_pairs(account.made)
    _print_pairs(settings_of_attacks(record))
    print_outcome(record.evaluation, record.dataset.info.class_names)
    place.print()
    if account.contests:
        _print_pairs(account.contests)
    for number, warning in enumerate(account.warnings, 1):
        place.print(f"Warning {number}. {warning}", markup=False)
    if account.warnings:
        place.print()
    _print_pairs(account.files)
    place.print(
        f"To be checked by `dfrd-bench verify {run}`; made again from `dfrd-bench show {run} --as-config`.",
        markup=False,
        soft_wrap=True,
    )
    if wrong:
        sys.exit(1)


def _print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Names on the left, what is said of them on the right, and an empty line."""
    from rich.markup import escape
    from rich.table import Table

    from dfrd_bench.cli.printing import console

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for pair in pairs:
        table.add_row(*map(escape, pair))
    place = console()
    place.print(table)
    place.print()


def _show_config(run: Path, as_json: bool) -> None:
    """Print the request that makes a run, and as comments what it cannot know."""
    import yaml

    from dfrd_bench.cli.printing import say
    from dfrd_bench.evaluation.contradictions import believed_record
    from dfrd_bench.runs.subject import request_again

    request, unknown = request_again(believed_record(run))
    if as_json:
        say(json.dumps(request.to_dict(), indent=1, ensure_ascii=False) + "\n")
        return
    say(
        "".join(f"# {line}\n" for line in unknown)
        + yaml.safe_dump(request.to_dict(), sort_keys=False, allow_unicode=True)
    )
