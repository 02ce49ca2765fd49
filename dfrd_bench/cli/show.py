"""`dfrd-bench show`: one method, its paper and its hyper-parameters."""

from __future__ import annotations

import json

import click

EPILOG = """
\b
Examples:
  dfrd-bench show ferd
  dfrd-bench show ferd --dataset digits
"""


@click.command(epilog=EPILOG)
@click.argument("method")
@click.option("--dataset", metavar="NAME", help="Also show what this dataset's default preset changes.")
@click.option("--json", "as_json", is_flag=True, help="The hyper-parameters' JSON schema.")
def show(method: str, dataset: str | None, as_json: bool) -> None:
    """Show a method's paper and every hyper-parameter: default, meaning and source."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from dfrd_bench.datasets.base import open_dataset
    from dfrd_bench.registry import METHODS, first_line
    from dfrd_bench.runs.preparation import budget_of

    found = METHODS.get(method)
    config = found.Config
    if as_json:
        click.echo(json.dumps(config.model_json_schema(), indent=1, ensure_ascii=False))
        return
    images = open_dataset(dataset) if dataset else None
    preset = budget_of(found, images.num_classes, images.presets["default"]) if images else {}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("hyper-parameter", "default", *([dataset] if dataset else []), "meaning", "source"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "hyper-parameter")
    for name, info in config.model_fields.items():
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        changed = [str(preset.get(name, ""))] if dataset else []
        cells = (name, _shown(info.default), *changed, info.description or "", str(extra.get("source", "")))
        table.add_row(*map(escape, cells))
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(width=160, highlight=False)
    reference = found.reference
    console.print(f"[bold]{escape(method)}[/bold]  {escape(first_line(found))}")
    console.print(f"{reference.title}\n{reference.venue}, {reference.link}", markup=False)
    console.print(f"provided by {METHODS.distribution(method)}\n")
    console.print(table)


def _shown(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)
