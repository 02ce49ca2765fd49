"""Sweeps on disk: accuracy against ε of a run's network under one attack, in a file beside its record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.files import file_name, replace_whole
from dfrd_bench.records.reading import MIB, not_valid, read_file
from dfrd_bench.records.schema import EnvironmentRecord, Fraction

PREFIX, SUFFIX = "curve-", ".json"
LARGEST = MIB
ABOUT = "accuracy against ε, in numbers"


class SweepPoint(BaseModel):
    """What the attack left in the L∞ ball of one radius."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    eps: Fraction
    average: Fraction
    worst_class: Fraction


class SweepRecord(BaseModel):
    """Accuracy of the network that a record describes, at growing ε.

    Attributes:
        created: when.
        attack: its name; `provider` is the distribution and version that provides it.
        eps: the run's own, one of the points'.
        seed: of the attack's random draws.
        points: from ε = 0 on, ε growing; where the last has an average of 0, nothing is left in larger balls either.
        weights_sha256: of the network, as in the run's record.
        test_digest: of the images, as in the run's record.
        environment: where the attack ran.
        notes: what the attack warned of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")

    schema_version: Literal[1] = 1
    created: str
    attack: Annotated[str, Field(min_length=1, max_length=200)]
    provider: str
    eps: Annotated[float, Field(gt=0, le=1)]
    seed: int
    points: Annotated[tuple[SweepPoint, ...], Field(min_length=2, max_length=100)]
    weights_sha256: str
    test_digest: str
    environment: EnvironmentRecord
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _grows(self) -> SweepRecord:
        levels = [point.eps for point in self.points]
        if levels[0] != 0 or levels != sorted(set(levels)):
            raise ValueError("ε does not grow from 0")
        if self.eps not in levels:
            raise ValueError("the run's own ε is not among the points")
        return self

    def at(self, eps: float) -> SweepPoint | None:
        """The point at a radius; beyond the last, nothing is left if nothing was there; None where it was not measured."""
        last = self.points[-1]
        if eps > last.eps and last.average == 0:
            return SweepPoint(eps=eps, average=0, worst_class=0)
        return next((point for point in self.points if point.eps == eps), None)


def is_sweep(name: str) -> bool:
    """Whether a file of this name in a run's folder holds a sweep."""
    return name.startswith(PREFIX) and name.endswith(SUFFIX)


def sweep_file(folder: Path, attack: str) -> Path:
    """Where a run keeps its sweep under an attack."""
    return folder / f"{PREFIX}{file_name(attack)}{SUFFIX}"


def save_sweep(folder: Path, sweep: SweepRecord) -> Path:
    """Write a sweep into a run's folder, in the place of an earlier one under the same attack, and return its file.

    Raises:
        DfrdBenchError: nothing can be written there.
    """
    text = json.dumps(sweep.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    SweepRecord.model_validate_json(text)
    path = sweep_file(folder, sweep.attack)
    replace_whole(path, text.encode())
    return path


def load_sweep(path: Path) -> SweepRecord:
    """Read and validate a sweep.

    Raises:
        DfrdBenchError: it cannot be read, or is no valid sweep.
    """
    try:
        return SweepRecord.model_validate_json(read_file(path, LARGEST))
    except ValidationError as error:
        raise not_valid(path, "sweep over ε", error) from error


def find_sweeps(folder: Path) -> Iterator[SweepRecord | DfrdBenchError]:
    """Every sweep in a run's folder, in order of name, or what is wrong with it."""
    try:
        paths = sorted(path for path in folder.iterdir() if is_sweep(path.name))
    except OSError:
        return
    for path in paths:
        try:
            yield load_sweep(path)
        except DfrdBenchError as error:
            yield error
