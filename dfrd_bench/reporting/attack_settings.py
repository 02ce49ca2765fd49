"""How each attack of an evaluation was set: what its record says, and what only the version knows that ran it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

from dfrd_bench.records.schema import Record
from dfrd_bench.registry import OWN_DISTRIBUTION
from dfrd_bench.reporting.hyperparameters import shown
from dfrd_bench.reporting.tables.comparability import level

NOTHING = "nothing to set"


def settings_of_attacks(record: Record) -> Iterator[tuple[str, str]]:
    """Pairs of a name and what is said of it: the seed of all, each attack as recorded, and what is not in the record.

    What is not recorded is said as this version of dfrd-bench has it, with the version that made the record if that is another.
    """
    results = record.evaluation.attacks
    yield "attacks", f"as recorded, all with seed {record.evaluation.seed}"
    for name, result in results.items():
        said = [f"{key}={_value(key, value)}" for key, value in result.parameters.items()] or [NOTHING]
        yield name, f"{', '.join(said)}; {result.seconds:,.1f} s"
    unsaid = {name: _unsaid(result.parameters, record.dataset.info.num_classes) for name, result in results.items()}
    parts = [_of_all(), *(f"{name}: {text}" for name, text in unsaid.items() if text)]
    yield "not recorded", f"{'; '.join(parts)} ({_whose(record)})"


def _value(name: str, value: Any) -> str:
    return level(value) if name in ("eps", "step") and isinstance(value, (int, float)) else shown(value)


def _of_all() -> str:
    from dfrd_bench.evaluation.under_attack import BATCH_SIZE

    return f"precision float32, {BATCH_SIZE} images at a time (fewer where memory asks for it)"


def _unsaid(parameters: Mapping[str, Any], classes: int) -> str:
    """What an attack of ours was set to beside what its record holds; "" of any other, and where nothing is left to say."""
    if "library" in parameters:
        from dfrd_bench.attacks.autoattack import QUERIES, STEPS
        from dfrd_bench.attacks.autoattack_stages import STANDARD_TARGETS

        targets = min(STANDARD_TARGETS, classes - 1)
        return (
            f"APGD and FAB of {STEPS} steps, APGD-T and FAB-T with {targets} target classes, Square of {QUERIES:,} queries, "
            "1 restart each"
        )
    return "starts=1" if parameters.get("random_start") and "starts" not in parameters else ""


def _whose(record: Record) -> str:
    """Whose defaults these are, and whether the record was made with them."""
    made, here = record.environment.packages.get(OWN_DISTRIBUTION), metadata.version(OWN_DISTRIBUTION)
    if made == here:
        return f"as {OWN_DISTRIBUTION} {here} has it, which made the record"
    by = f"{OWN_DISTRIBUTION} {made}" if made else "a version that it does not name"
    return f"as {OWN_DISTRIBUTION} {here} has it; the record was made by {by}, which may have had other defaults"
