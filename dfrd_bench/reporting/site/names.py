"""What rows and attacks are called on pages: rows as briefly as tells them apart, attacks in full."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dfrd_bench.reporting.tables.layout import Row, attack_title
from dfrd_bench.reporting.tables.naming import with_short_numbers

VARIANT = re.compile(r" \([^()]*\)$")
IN_FULL = {"autoattack": "AutoAttack"}


def spelled(attack: str) -> str:
    """An attack as a newcomer reads it, where there is room."""
    return IN_FULL.get(attack, attack_title(attack))


def shared_variant(rows: Sequence[Row]) -> str:
    """What all students of a leaderboard have in parentheses behind their names, e.g. "quick+epochs=10"; else ""."""
    labels = [row.label for row in rows if row.kind == "student"]
    endings = {found[0] if (found := VARIANT.search(label)) else "" for label in labels}
    return endings.pop()[2:-1] if len(labels) > 1 and len(endings) == 1 and "" not in endings else ""


def brief_names(rows: Sequence[Row]) -> list[str]:
    """Of each row a name without what all students share, its long numbers shortened; the labels where two would be the same."""
    ending = f" ({shared_variant(rows)})"
    names = [with_short_numbers(row.label.removesuffix(ending) if row.kind == "student" else row.label) for row in rows]
    return names if len(set(names)) == len(names) else [row.label for row in rows]
