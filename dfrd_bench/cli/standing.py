"""How runs stand, in words: for `suite --status`, and for those that a launcher has running."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from dfrd_bench.cli.streams import one_line
from dfrd_bench.runs.rehearsal import duration

if TYPE_CHECKING:
    from dfrd_bench.execution.status import Standing


def progress_of(standing: Standing) -> str:
    """How far a run is: its part, epochs, and the time that its training needs yet."""
    epochs = "" if standing.epoch is None else f"epoch {standing.epoch}/{standing.epochs or '?'}"
    left = "" if standing.left is None else f"{duration(standing.left)} of training left"
    return ", ".join(filter(None, [standing.part, epochs, left]))


def print_standings(found: Sequence[Standing]) -> None:
    """A line for each run, and one for all."""
    from dfrd_bench.execution.status import STAGES
    from dfrd_bench.runs.plan import named

    names = [one_line(name) for name in named([one.request for one in found])]
    width = max(map(len, names), default=0)
    for one, name in zip(found, names, strict=True):
        where = one.where if one.stage in ("running", "missing") else ""
        parts = [where, progress_of(one) if one.stage in ("running", "stopped") else "", one.why]
        told = str(one.folder) if one.stage == "done" else "; ".join(filter(None, parts))
        click.echo(f"{one.stage:8} {name:{width}}  {one_line(told)}".rstrip())
    count = Counter(one.stage for one in found)
    click.echo(f"{len(found)} runs: " + ", ".join(f"{count[stage]} {stage}" for stage in STAGES))
