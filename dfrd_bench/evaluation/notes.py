"""What attacks warn of, collected for the record."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from dfrd_bench.attacks.verdict import AttackWarning

MOST_NOTES = 50  # of one attack


@contextmanager
def noted(attack: str) -> Iterator[list[str]]:
    """A list to which, at the end, what the attack warned of is added, with its name before; other warnings go on.

    It is for the record, and says of more than `MOST_NOTES` only how many there were.
    """
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AttackWarning)
        yield notes
    for warning in caught:
        if issubclass(warning.category, AttackWarning):
            text = str(warning.message)
            notes.append(text if text.startswith(attack) else f"{attack}: {text}")
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if more := [*dict.fromkeys(notes)][MOST_NOTES:]:
        notes[:] = [*[*dict.fromkeys(notes)][:MOST_NOTES], f"{attack}: {len(more):,} more warnings"]
