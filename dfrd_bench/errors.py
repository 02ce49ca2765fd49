"""The one exception a user can cause, and the help that goes with a wrong name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DfrdBenchError(Exception):
    """Wrong use or bad input. Its message says what is wrong, where, and what to do; the CLI prints it and exits with 2."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> DfrdBenchError:
    """An error for a name that does not exist, naming the nearest ones.

    Args:
        kind: what was looked up, as a reader calls it ("method", "hyper-parameter of ferd").
        name: the name that was given.
        known: every name that would have worked.
    """
    choices = sorted(known)
    near = difflib.get_close_matches(name.lower(), choices, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"Known: {', '.join(choices) or 'none'}."
    return DfrdBenchError(f"Unknown {kind} {name!r}. {hint}")
