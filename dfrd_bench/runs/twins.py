"""Runs of the same settings as another that were made by other code, or by code that their records do not name."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.schema import ExperimentSpec
from dfrd_bench.records.store import RECORD_FILE, load_record
from dfrd_bench.reporting.codes import short
from dfrd_bench.runs.checkpoint import State

ANY_HASH = "????????"


@dataclass(frozen=True)
class Twin:
    """A run of the same settings, by other code.

    Attributes:
        folder: of it.
        code: the digest of the code that made it; None where it does not say.
        finished: whether there is a record, or it was only begun.
    """

    folder: Path
    code: str | None
    finished: bool

    def __str__(self) -> str:
        how = "made" if self.finished else "begun"
        return (
            f"{self.folder} was {how} by {f'other code ({short(self.code)})' if self.code else 'code it does not name'}"
        )


def folders_like(usual: Path) -> list[Path]:
    """The folders beside one, or it itself, that are named as it is but for the hash."""
    if not os.path.isdir(usual.parent):  # noqa: PTH112  (whose path may be too long to be asked about)
        return []
    start = glob.escape(usual.name[: -len(ANY_HASH)])
    return sorted(path for path in usual.parent.glob(f"{start}{ANY_HASH}") if path.is_dir())


def twins_of(spec: ExperimentSpec, results: Path) -> Iterator[Twin]:
    """A student's runs of the same settings below a results folder, made or begun by other code or by code they do not name."""
    mine = spec.without_code
    for folder in folders_like(spec.folder(results)):
        finished = (folder / RECORD_FILE).exists()
        found = _spec_in(folder, finished)
        if found is not None and found.code != spec.code and found.without_code == mine:
            yield Twin(folder, found.code, finished)


def recorded_at(spec: ExperimentSpec, results: Path) -> Path:
    """The folder of a student's run: its own, or where that is not finished one of the same settings that names no code."""
    own = spec.folder(results)
    if os.path.exists(own / RECORD_FILE):  # noqa: PTH110
        return own
    return next((twin.folder for twin in twins_of(spec, results) if twin.finished and twin.code is None), own)


def said_of_twins(twins: Sequence[Twin], spec: ExperimentSpec) -> str:
    """What a user must know who asks for a run that other code made or began; "" where none did."""
    if not twins:
        return ""
    more = f" (and {len(twins) - 1} more)" if len(twins) > 1 else ""
    return f"{twins[0]}{more}: it stays as it is, and this run is made by today's code ({short(spec.code)}), under its own hash."


def _spec_in(folder: Path, finished: bool) -> ExperimentSpec | None:
    """What a folder's record says it is, or the state of a run that was begun there; None where neither can be read."""
    try:
        return load_record(folder).spec if finished else ExperimentSpec.model_validate(State(folder).read().get("spec"))
    except (DfrdBenchError, ValidationError):
        return None
