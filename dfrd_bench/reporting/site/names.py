"""What rows and attacks are called on pages: rows as briefly as tells them apart, attacks in full."""

from __future__ import annotations

from collections.abc import Sequence

from dfrd_bench.reporting.tables.layout import Row, attack_title
from dfrd_bench.reporting.tables.naming import shared_variant, with_short_numbers, without_variant

IN_FULL = {"autoattack": "AutoAttack"}


def spelled(attack: str) -> str:
    """An attack as a newcomer reads it, where there is room."""
    return IN_FULL.get(attack, attack_title(attack))


def brief_names(rows: Sequence[Row]) -> list[str]:
    """Of each row a name without what all students share, its long numbers shortened; the labels where two would be the same."""
    shared = shared_variant(rows)
    names = [with_short_numbers(without_variant(row, shared).label) for row in rows]
    return names if len(set(names)) == len(names) else [row.label for row in rows]
