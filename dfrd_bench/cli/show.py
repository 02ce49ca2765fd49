"""`dfrd-bench show`: one method, its paper and its hyper-parameters; or what a run was asked for."""

from __future__ import annotations

import json
from pathlib import Path

import click

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.registry import METHODS

EPILOG = """
\b
Examples:
  dfrd-bench show ferd
  dfrd-bench show ferd --dataset digits
  dfrd-bench show results/digits/digits-wrn-10-2/wrn-10-1/ferd/default-seed1-96fe9e44 --as-config > run.yaml
"""


@click.command(epilog=EPILOG)
@click.argument("method", metavar="METHOD_OR_RUN")
@click.option("--dataset", metavar="NAME", help="Also show what this dataset's default preset changes.")
@click.option("--json", "as_json", is_flag=True, help="The hyper-parameters' JSON schema.")
@click.option(
    "--as-config", is_flag=True, help="Of a finished run, in its folder: the file for `run --config` that makes it."
)
def show(method: str, dataset: str | None, as_json: bool, as_config: bool) -> None:
    """Show a method's paper and every hyper-parameter: default, meaning and source. Or show what a run was asked for."""
    if as_config:
        _show_config(Path(method), as_json)
        return
    if method not in METHODS.names() and (Path(method) / "record.json").exists():
        raise DfrdBenchError(
            f"{method} is a run: give --as-config too, or look at its numbers with `dfrd-bench table`."
        )
    from rich.markup import escape
    from rich.table import Table

    from dfrd_bench.cli.printing import console
    from dfrd_bench.datasets.base import open_dataset
    from dfrd_bench.runs.preparation import budget_of
    from dfrd_bench.settings import validated
    from dfrd_bench.summaries import first_line

    found = METHODS.get(method)
    config = found.Config
    if as_json:
        click.echo(json.dumps(config.model_json_schema(), indent=1, ensure_ascii=False))
        return
    images = open_dataset(dataset) if dataset else None
    preset = budget_of(found, images.num_classes, images.presets_of(found.sees)["default"]) if images else {}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("hyper-parameter", "default", *([dataset] if dataset else []), "meaning", "source"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "hyper-parameter")
    for name, info in config.model_fields.items():
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        changed = [str(preset.get(name, ""))] if dataset else []
        cells = (name, _shown(info.default), *changed, info.description or "", str(extra.get("source", "")))
        table.add_row(*map(escape, cells))
    place, reference = console(), found.reference
    place.print(f"[bold]{escape(method)}[/bold]  {escape(first_line(found))}")
    place.print(f"{reference.title}\n{reference.venue}, {reference.link}", markup=False)
    place.print(f"provided by {METHODS.distribution(method)}")
    if images and (made := validated(config, preset, method).made()):
        place.print(f"on {dataset}: {', '.join(f'{count:,} {what}' for what, count in made.items())}", markup=False)
    place.print()
    place.print(table)


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


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(_shown, value))
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)
