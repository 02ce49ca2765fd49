"""A run that is made anew although it is there: beside the old one, which it replaces once it is whole.

At every moment one of the two is whole: the old one in its folder until the new one has its record, then the new one. What was
cut short between the two renamings is finished by the next command that asks for the run.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.alone import alone_in
from dfrd_bench.records.files import flush_folder, unwritable
from dfrd_bench.records.presence import at_work
from dfrd_bench.records.schema import Record
from dfrd_bench.records.store import RECORD_FILE, load_record
from dfrd_bench.runs.place import Place

log = logging.getLogger(__name__)
ANEW, OLD = ".anew", ".old"  # behind a run's folder: the new one until it is whole, the old one until it is gone


def place_anew(place: Place) -> Place:
    """Where a run is made that is to replace the one in a place."""
    folder = place.folder.with_name(place.folder.name + ANEW)
    return Place(folder, folder / place.weights.name)


def settled(folder: Path) -> bool:
    """Finish what was cut short when a run was to replace the one in a folder; whether the new one has just come there.

    Raises:
        DfrdBenchError: see `put_in_place`.
    """
    new, old = _beside(folder)
    if os.path.exists(new / RECORD_FILE) and not at_work(new):  # noqa: PTH110  (its path may be too long)
        put_in_place(new, folder)
        return True
    if os.path.exists(old) and (folder / RECORD_FILE).exists():  # noqa: PTH110
        shutil.rmtree(old, ignore_errors=True)
    return False


def put_in_place(new: Path, folder: Path) -> None:
    """Let a finished run take the place of another, which is removed.

    Raises:
        DfrdBenchError: somebody is at work in the old one, or nothing can be renamed there; then both are as they were.
    """
    _, old = _beside(folder)
    try:
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            with alone_in(folder):
                folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
        flush_folder(folder.parent)
    except OSError as error:
        raise unwritable(folder, error) from error
    shutil.rmtree(old, ignore_errors=True)


def known_before(folder: Path) -> Record | None:
    """The record that is to be replaced; None where it cannot be read."""
    try:
        return load_record(folder)
    except DfrdBenchError as error:
        log.warning("What is replaced cannot be read: %s", error)
        return None


def _beside(folder: Path) -> tuple[Path, Path]:
    return folder.with_name(folder.name + ANEW), folder.with_name(folder.name + OLD)
