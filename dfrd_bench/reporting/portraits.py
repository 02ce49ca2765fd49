"""A table of what synthetic images are to their teacher, beside what the student got from them; a row per method."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from statistics import fmean
from typing import TYPE_CHECKING

from dfrd_bench.records.schema import Record

if TYPE_CHECKING:
    from dfrd_bench.evaluation.synthetic import Portrait

ATTACKS = {"pgd20": "PGD-20", "autoattack": "AA"}
HEADINGS = (
    "Method",
    "Seeds",
    "Entropy",
    "Confidence",
    "Distance",
    "Inside ε (%)",
    "Spread",
    "Largest class (%)",
    *(f"{title} {what}" for title in ATTACKS.values() for what in ("avg.", "worst")),
)
LEGEND = (
    "Of the images that the runs kept, seen by the teacher: entropy of its prediction (nats) and largest probability, averaged.",
    "Distance: L∞ distance to another class, median, by PGD. Inside ε: share of images nearer than ε of the threat model.",
    "Spread: entropy of the teacher's classes over the images (nats), and the share of the most frequent one.",
    "PGD-20 and AA: the student's accuracy (%) on the test images. Every number is a mean over seeds.",
)


def portrait_rows(portraits: Iterable[tuple[Record, Portrait]]) -> list[list[str]]:
    """Cells under `HEADINGS`, a row for each method and variant, in their order; "·" where not every seed was measured."""
    found: dict[str, list[tuple[Record, Portrait]]] = defaultdict(list)
    for record, portrait in portraits:
        variant = "" if record.spec.variant == "default" else f" ({record.spec.variant})"
        found[record.spec.method + variant].append((record, portrait))
    return [_row(name, part) for name, part in found.items()]


def _row(name: str, part: list[tuple[Record, Portrait]]) -> list[str]:
    seen = [asdict(portrait) for _, portrait in part]
    mean = {field: fmean(portrait[field] for portrait in seen) for field in seen[0]}
    cells = [name, str(len(part))]
    cells += [
        f"{mean['entropy']:.2f}",
        f"{mean['confidence']:.2f}",
        f"{mean['distance']:.3f}",
        f"{100 * mean['inside']:.0f}",
    ]
    cells += [f"{mean['spread']:.2f}", f"{100 * mean['largest']:.0f}"]
    for attack in ATTACKS:
        results = [record.evaluation.attacks.get(attack) for record, _ in part]
        measured = [result for result in results if result is not None]
        complete = len(measured) == len(part)
        cells.append(f"{100 * fmean(result.average for result in measured):.1f}" if complete else "·")
        cells.append(f"{100 * fmean(result.worst_class for result in measured):.1f}" if complete else "·")
    return cells
