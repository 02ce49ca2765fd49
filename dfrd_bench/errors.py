"""The one exception a user can cause, and the help that goes with a wrong name."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable

# how the CPU's allocator, CUDA, and cuBLAS and cuDNN say it
OUT_OF_MEMORY = ("not enough memory", "can't allocate memory", "out of memory", "status_alloc_failed")

NEAREST = 3  # names to offer for a wrong one
BEGINNING = 3  # letters after which a name that goes on is meant


class DfrdBenchError(Exception):
    """Wrong use or bad input. Its message says what is wrong, where, and what to do; the CLI prints it and exits with 2."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on a CPU."""
    torch = sys.modules.get("torch")  # without PyTorch nothing can run out of a GPU's memory
    on_gpu = torch is not None and isinstance(error, torch.cuda.OutOfMemoryError)
    said = str(error).lower()
    return on_gpu or isinstance(error, MemoryError) or any(sign in said for sign in OUT_OF_MEMORY)


def unknown_name(kind: str, name: str, known: Iterable[str], *, listing: str = "") -> DfrdBenchError:
    """An error for a name that does not exist, naming the nearest ones.

    Args:
        kind: what was looked up, as a reader calls it ("method", "hyper-parameter of ferd").
        name: the name that was given.
        known: every name that would have worked.
        listing: a command that shows them, where they are too many for one line.
    """
    choices = {choice.lower(): choice for choice in sorted(known)}
    wanted = name.lower()
    begun = [choice for choice in choices if len(wanted) >= BEGINNING and choice.startswith(wanted)]
    similar = difflib.get_close_matches(wanted, choices, n=NEAREST, cutoff=0.5)
    near = [choices[match] for match in dict.fromkeys([*begun, *similar])][:NEAREST]
    every = f"`{listing}` shows them." if listing else f"Known: {', '.join(choices.values()) or 'none'}."
    hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else every
    return DfrdBenchError(f"Unknown {kind} {name!r}. {hint}")
