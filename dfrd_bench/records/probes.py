"""What histories call the numbers of a probe: a cheap look at the student during its training (`run --probe`)."""

from __future__ import annotations

from typing import Literal, get_args

ProbeOn = Literal["synthetic", "test"]
"""What a user asks for."""
SOURCES = {
    "synthetic": "synthetic images",
    "training": "training images",
    "test": "a part of the test images",
}
"""What a probe was made on: of a method that sees the training images, these stand in place of synthetic ones."""
ProbeMetric = Literal["clean", "average", "worst_class", "nsd"]
METRICS: tuple[ProbeMetric, ...] = get_args(ProbeMetric)
"""Accuracy without attack; average, worst class and NSD under PGD."""
PREFIX = "probe_"


def probe_key(source: str, metric: str) -> str:
    """The name of a number in a line of the history, e.g. probe_test_average."""
    return f"{PREFIX}{source}_{metric}"
