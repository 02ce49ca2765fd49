"""What figures say of themselves: whose numbers they show, and on which images."""

from __future__ import annotations

from dfrd_bench.records.schema import Record
from dfrd_bench.reporting.escaping import plain_in_figures
from dfrd_bench.reporting.tables.layout import display_name


def who(record: Record) -> str:
    """A run in a few words, e.g. "FERD (utae=false), seed 1"."""
    spec = record.spec
    if spec.kind == "teacher":
        return plain_in_figures(f"Teacher {spec.teacher.name}")
    variant = "" if spec.variant == "default" else f" ({spec.variant})"
    return plain_in_figures(f"{display_name(spec.method)}{variant}, seed {spec.seed}")


def subject(record: Record) -> str:
    """Whose numbers a figure shows, and on what, e.g. "FERD, seed 1 on wrn-10-1: 900 test images of digits"."""
    spec = record.spec
    on = f" on {spec.student}: {record.dataset.test_images} test images of {spec.dataset}"
    return who(record) + plain_in_figures(on)
