"""What ends a command: wrong use, code that failed, a wish to stop; and the help that goes with a wrong name."""

from __future__ import annotations

import difflib
import re
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

# how the CPU's allocator, CUDA, and cuBLAS and cuDNN say it
OUT_OF_MEMORY = ("not enough memory", "can't allocate memory", "out of memory", "status_alloc_failed")

NEAREST = 3  # names to offer for a wrong one
BEGINNING = 3  # letters after which a name that goes on is meant
LIKE, ABOUT = 0.5, 0.2  # of 1, the share of two names that is the same; and how much less of it another may have
LONGEST = 300  # characters of an error's own words that a message repeats
MISTAKES: dict[str, str] = {
    "model-field-missing-annotation": "has no type",
    "model-field-overridden": "has a new default and no type",
}
"""What pydantic calls a field of a class of settings that is written wrongly -> what is wrong with it."""
FIELD = re.compile(r"`(?P<shown>\w+) = [^`]*`|Field '(?P<named>\w+)'")
ADVICE = " For further information visit "  # where pydantic's pages begin


class DfrdBenchError(Exception):
    """Wrong use or bad input. Its message says what is wrong, where, and what to do; the CLI prints it and exits with 2."""

    exit_code: ClassVar[int] = 2


class FailedError(DfrdBenchError):
    """Code raised what nobody's wrong use explains: a plugin's, or dfrd-bench's own. Its cause is what was raised.

    Attributes:
        log: the file that has the traceback; None where none was written.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log


class Stopped(BaseException):
    """A signal asked for an end. It is no error, so that code which catches errors lets it pass."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Interrupted(Stopped, KeyboardInterrupt):
    """Ctrl-C."""


def asked_to_stop(error: BaseException) -> bool:
    """Whether the user wants an end, and did not get an error.

    A plain KeyboardInterrupt was raised by the code that was running where Ctrl-C is ignored, or has a handler that
    `raises_interrupted`, as the command line's does. Anywhere else it may be Ctrl-C.
    """
    if isinstance(error, Stopped):
        return True
    handler = signal.getsignal(signal.SIGINT)
    another = handler is signal.SIG_IGN or getattr(handler, "raises_interrupted", False)
    return isinstance(error, KeyboardInterrupt) and not another


def in_a_line(error: BaseException) -> str:
    """An error's type and words on one line of bounded length, whatever its own text does."""
    try:
        said = " ".join(str(error).split())
    except Exception:
        said = "(its text cannot be shown)"
    said = said if len(said) <= LONGEST else f"{said[:LONGEST]}…"
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def why_not_loaded(error: BaseException) -> str:
    """An error that importing a plugin raised, in a line.

    Of settings without a type the line says which, and how it is written; of anything else that pydantic refuses, its words
    without the address of its pages.
    """
    code = str(getattr(error, "code", ""))
    if (wrong := MISTAKES.get(code)) and (found := FIELD.search(str(error))):
        name = found["shown"] or found["named"]
        return f"the hyper-parameter {name!r} of its Config {wrong}: write `{name}: float = …` (or int, bool, str)."
    return in_a_line(error).partition(ADVICE)[0]


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or on a CPU."""
    torch = sys.modules.get("torch")  # without PyTorch nothing can run out of a GPU's memory
    on_gpu = torch is not None and isinstance(error, torch.cuda.OutOfMemoryError)
    said = in_a_line(error).lower()
    return on_gpu or isinstance(error, MemoryError) or any(sign in said for sign in OUT_OF_MEMORY)


def unknown_name(kind: str, name: str, known: Iterable[str], *, listing: str = "") -> DfrdBenchError:
    """An error for a name that does not exist, naming the nearest ones.

    Args:
        kind: what was looked up, as a reader calls it ("method", "hyper-parameter of ferd").
        name: the name that was given.
        known: every name that would have worked.
        listing: see `meant`.
    """
    return DfrdBenchError(f"Unknown {kind} {name!r}. {meant(name, known, listing=listing)}")


def meant(name: str, known: Iterable[str], *, listing: str = "") -> str:
    """A sentence for the message about a name that does not exist: the nearest ones, or all.

    Args:
        name: the name that was given.
        known: every name that would have worked.
        listing: a command that shows them, where they are too many for one line.
    """
    choices = sorted(known)
    every = f"`{listing}` shows them." if listing else f"Known: {', '.join(choices) or 'none'}."
    near = nearest(name, choices)
    return f"Did you mean {' or '.join(map(repr, near))}?" if near else every


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """The names that may have been meant by a wrong one, the nearest first: those that begin with it, and those that are like it.

    Of these only such as are about as like it as the one that is most so.
    """
    choices = {choice.lower(): choice for choice in sorted(known)}
    wanted = name.lower()
    begun = [choice for choice in choices if len(wanted) >= BEGINNING and choice.startswith(wanted)]
    similar = difflib.get_close_matches(wanted, choices, n=NEAREST, cutoff=LIKE)
    likeness = {choice: difflib.SequenceMatcher(a=choice, b=wanted).ratio() for choice in similar}
    similar = [choice for choice in similar if likeness[choice] >= max(likeness.values()) - ABOUT]
    return [choices[match] for match in dict.fromkeys([*begun, *similar])][:NEAREST]
