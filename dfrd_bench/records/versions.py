"""Formats of records and checkpoints over time: older ones become today's while they are read, newer ones are refused.

A format's number goes up when a file of the new one could not be read, or would be misread, by the code before: a field that is
added counts, as readers refuse fields that they do not know. Whoever raises it adds the step from the one before to `STEPS`, and
a file of that version to `tests/records/versions/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dfrd_bench._version import __version__
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.reading import brief

RECORD, CHECKPOINT = 3, 2  # today's
UNNUMBERED = 1  # a file that says no version is of the first
VERSION, WRITER = "schema_version", "written_by"  # the keys of a checkpoint; a record's writer is in its environment
Step = Callable[[dict[str, Any]], dict[str, Any]]


class NewerError(DfrdBenchError):
    """A file of a format that only a later dfrd-bench knows; the message goes on from the file's name."""


def _record_2(content: dict[str, Any]) -> dict[str, Any]:
    """Fields that came while the number was 1 may be absent: `target_entropy`, `stages`, `passes`, `sees`, `training_*`."""
    return content


def _record_3(content: dict[str, Any]) -> dict[str, Any]:
    """A field that came then may be absent: `code`, of the code that an older record was made by nothing is known."""
    return content


def _checkpoint_2(content: dict[str, Any]) -> dict[str, Any]:
    """Values that came while there was no number may be absent: `peak`, `device`, `passes`."""
    return content


STEPS: Mapping[str, Mapping[int, Step]] = {"record": {1: _record_2, 2: _record_3}, "checkpoint": {1: _checkpoint_2}}
"""By kind and by the version that a step starts from."""


def migrated_record(content: dict[str, Any]) -> dict[str, Any]:
    """A record as today's format has it, from any earlier one.

    Raises:
        NewerError: it is of a later one.
    """
    environment = content.get("environment")
    packages = environment.get("packages") if isinstance(environment, dict) else None
    return _migrated("record", content, RECORD, packages.get("dfrd-bench") if isinstance(packages, dict) else None)


def migrated_checkpoint(content: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint as today's format has it, from any earlier one.

    Raises:
        NewerError: it is of a later one.
    """
    return _migrated("checkpoint", content, CHECKPOINT, content.get(WRITER))


def _migrated(kind: str, content: dict[str, Any], newest: int, writer: object) -> dict[str, Any]:
    version = content.get(VERSION, UNNUMBERED)
    if type(version) is not int:  # for whoever validates it to refuse
        return content
    if version > newest:
        by = f"dfrd-bench {brief(writer)}" if isinstance(writer, str) else "a later dfrd-bench"
        raise NewerError(f"was written by {by}, this is {__version__}: update it (pip install -U dfrd-bench).")
    while version in STEPS[kind]:
        content = STEPS[kind][version](content)
        version += 1
        content = {**content, VERSION: version}
    return content
