"""How long the epochs that are left will take, as soon as there is anything to go by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

RECENT = 5  # epochs whose median is the speed


def seconds_left(took: Sequence[float], left: int, warmup: int = 0) -> float | None:
    """Seconds of training, at the speed of the latest epochs that were like those to come.

    Args:
        took: seconds of each epoch so far. The first pays for the start of everything, and says nothing of the others.
        left: epochs that are left.
        warmup: of those in `took`, how many were of another kind: in a warm-up the student does not learn yet.

    Returns:
        None as long as no epoch tells.
    """
    alike = took[max(1, warmup) :][-RECENT:]
    return median(alike) * left if alike and left > 0 else None


def warmup_in(state: Mapping[str, Any]) -> int:
    """The epochs of warm-up of a run, as far as its state names them (see `checkpoint.State`)."""
    spec = state.get("spec")
    config = spec.get("config") if isinstance(spec, dict) else None
    found = config.get("warmup_epochs") if isinstance(config, dict) else None
    return found if isinstance(found, int) else 0
