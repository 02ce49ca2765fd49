"""How many threads a training has had, over its stops: another number adds in another order, which changes the last bits."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise


class Threads:
    """The numbers of threads that a training has had, each with the epochs that were done when it began with it."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int]] = []

    def go_on(self, done: int, threads: int) -> str | None:
        """The training goes on after so many epochs, with so many threads.

        Returns:
            What its record must say, where earlier epochs had another number; else None.
        """
        self._spans = [span for span in self._spans if span[0] < done]
        if not self._spans or self._spans[-1][1] != threads:
            self._spans.append((done, threads))
        if len(self._spans) == 1:
            return None
        ends = [f"with {_count(number)} up to epoch {end}" for (_, number), (end, _) in pairwise(self._spans)]
        return (
            f"Trained {', '.join(ends)}, from there on with {_count(threads)}: the last bits may differ from those of a run that "
            "was not stopped."
        )

    def state_dict(self) -> list[list[int]]:
        """Epochs done and threads, for a checkpoint."""
        return [list(span) for span in self._spans]

    def load_state_dict(self, state: Sequence[Sequence[int]] | None) -> None:
        """Those of a checkpoint; None where it is from before they were kept."""
        self._spans = [(int(done), int(threads)) for done, threads in state or ()]


def _count(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"
