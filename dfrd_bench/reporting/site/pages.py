"""What a page of the site is, before it is written in HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dfrd_bench.reporting.site.chart_data import Table


@dataclass(frozen=True)
class Chart:
    """One chart on a page.

    Attributes:
        kind: which of `charts.specifications` draws it.
        table: its numbers.
        text: what it shows, for everybody and for who cannot see it.
        title: above it; "" where the template has one.
        attacks: those among which a reader chooses; none where there is nothing to choose.
    """

    kind: str
    table: Table
    text: str
    title: str = ""
    attacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """One page.

    Attributes:
        name: its address without ending, below the site's folder, e.g. "runs/ferd-seed1-96fe9e44".
        title: of the page.
        template: which one writes it.
        context: what the template is told.
    """

    name: str
    title: str
    template: str
    context: Mapping[str, Any] = field(repr=False)
