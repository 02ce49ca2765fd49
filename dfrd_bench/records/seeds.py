"""Seeds as a user writes them, a list or a range, as numbers."""

from __future__ import annotations

from collections.abc import Sequence

from dfrd_bench.errors import DfrdBenchError

SEEDS = 2**32  # that every random generator takes
MANY = 1_000  # seeds that somebody may mean


def parse_seeds(text: str) -> Sequence[int]:
    """`0,1,2` or `0-2` as numbers.

    Raises:
        DfrdBenchError: anything else.
    """
    seeds: dict[int, None] = {}
    try:
        for part in filter(None, (part.strip() for part in text.split(","))):
            first, dash, last = part.partition("-")
            if dash and not last:
                raise ValueError(part)
            if int(last or first) >= SEEDS:
                raise DfrdBenchError(f"A seed must lie in 0 … {SEEDS - 1}, and {last or first} does not.")
            if int(last or first) - int(first) >= MANY:
                raise DfrdBenchError(
                    f"{part} are {int(last) - int(first) + 1:,} seeds: at most {MANY:,} can be made at once."
                )
            seeds.update(dict.fromkeys(range(int(first), int(last or first) + 1)))
    except ValueError as error:
        raise DfrdBenchError(f"Seeds are numbers like 0,1,2 or a range like 0-2, not {text!r}.") from error
    if not seeds:
        raise DfrdBenchError(f"Seeds are numbers like 0,1,2 or a range like 0-2, not {text!r}.")
    return list(seeds)
