"""Measurements as rows, for a table on the terminal and for JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .timing import Pair

if TYPE_CHECKING:
    import torch

Row = dict[str, Any]
MEBIBYTE = 2**20


def paired(subject: str, pairs: dict[str, Pair], **beside: Any) -> list[Row]:
    """One row per part of a subject."""
    return [{"subject": subject, "part": part, **pair.row(), **beside} for part, pair in pairs.items()]


def table(rows: Sequence[Row]) -> str:
    """Times per unit, medians; how many times as quick ours is, and the least and largest ratio of one turn each."""
    from tabulate import tabulate

    headings = ("", "per", "plain, wall", "ours, wall", "ratio", "processor: plain", "ours", "ratio")
    return tabulate(
        [
            [
                row["subject"],
                row["part"],
                *(cell for clock in ("wall", "processor") for cell in _cells(row, clock)),
            ]
            for row in rows
        ],
        headers=headings,
        disable_numparse=True,
    )


def _cells(row: Row, clock: str) -> tuple[str, str, str]:
    spread = f"{row[f'least_{clock}']:.2f}–{row[f'most_{clock}']:.2f}"
    return duration(row[f"plain_{clock}"]), duration(row[f"ours_{clock}"]), f"{row[f'ratio_{clock}']:.2f} ({spread})"


def duration(seconds: float) -> str:
    """With three digits and a unit; below zero where a rest could not be told from nothing."""
    size = abs(seconds)
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if size * factor >= 1:
            number = size * factor
            digits = max(2 - int(math.log10(number)), 0)
            return f"{seconds * factor:.{digits}f} {unit}"
    return f"{1e6 * seconds:.0f} µs"


def machine(device: torch.device) -> dict[str, Any]:
    """Where it was measured."""
    from dfrd_bench.runs.environment import describe_environment

    return describe_environment(device).model_dump()
