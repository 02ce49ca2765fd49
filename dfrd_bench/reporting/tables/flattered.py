"""Which rows the gradient attacks flatter, because gradients lead an attacker astray, and the line that says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import fmean

from dfrd_bench.records.schema import Record
from dfrd_bench.reporting.tables.layout import FLATTERED, Group
from dfrd_bench.reporting.tables.naming import named_rows

PGD_EXCESS = 0.10  # of its accuracy over that under AutoAttack
SQUARE_SHARE = 0.005  # of the images, that Square broke after all attacks that use gradients
DIGITS = 9  # beyond which a difference of shares is rounding


def why_flattered(records: Sequence[Record]) -> str:
    """What shows that the gradient attacks flatter a row, e.g. "16.3 points"; "" where nothing does, or nothing is known.

    The one sign is the accuracy under PGD-20 less that under AutoAttack, the other the share of images that Square, which asks
    for no gradient, broke after all the attacks that do; each as its mean over the seeds of which it is known.

    Args:
        records: of one row, a seed each.
    """
    signs = []
    if (excess := _mean([*_excesses(records)])) > PGD_EXCESS:
        signs.append(f"{100 * excess:.1f} points")
    if (share := _mean([*_square_alone(records)])) > SQUARE_SHARE:
        signs.append(f"Square alone {100 * share:.2f} %")
    return ", ".join(signs)


def about_flattered(groups: Sequence[Group]) -> str:
    """The line below a table that says what the mark on a row means, and what earned it; "" where no row has it."""
    signs = {name: row.flattered for name, row in named_rows(groups) if row.flattered}
    if not signs:
        return ""
    return (
        f"{FLATTERED} The gradient attacks flatter {'this row' if len(signs) == 1 else 'these rows'}: "
        f"PGD-20 leaves over {100 * PGD_EXCESS:.0f} points more than AutoAttack, or Square alone broke more than "
        f"{100 * SQUARE_SHARE:.1f} % of the images ({'; '.join(f'{name}: {sign}' for name, sign in signs.items())})."
    )


def _mean(values: Sequence[float]) -> float:
    return round(fmean(values), DIGITS) if values else 0.0


def _excesses(records: Sequence[Record]) -> Iterator[float]:
    """Of each seed that ran both attacks."""
    for record in records:
        attacks = record.evaluation.attacks
        if "pgd20" in attacks and "autoattack" in attacks:
            yield attacks["pgd20"].average - attacks["autoattack"].average


def _square_alone(records: Sequence[Record]) -> Iterator[float]:
    """Of each seed whose AutoAttack recorded its stages."""
    for record in records:
        attack = record.evaluation.attacks.get("autoattack")
        stages = {} if attack is None else attack.stages or {}
        for (_, before), (stage, after) in pairwise(stages.items()):
            if stage == "square":
                yield before - after
