"""Networks that take nearly every image for one class: what they keep under attack is that class's share, and no robustness."""

from __future__ import annotations

from dfrd_bench.records.schema import Record

NEARLY_ALL = 0.9  # of the clean images
MOST_THAT_ARE = (
    0.5  # of the images are of that class: where more are, a classifier may be right to take nearly all for it
)


def taken_for_one_class(record: Record) -> str | None:
    """The name of the class for which a network takes nearly every clean image; None where there is none, or none are known."""
    clean = record.evaluation.attacks.get("clean")
    if clean is None:
        return None
    total = sum(map(sum, clean.confusion))
    for label, (row, column) in enumerate(zip(clean.confusion, zip(*clean.confusion, strict=True), strict=True)):
        if sum(column) >= NEARLY_ALL * total and sum(row) < MOST_THAT_ARE * total:
            return record.dataset.info.class_names[label]
    return None
