"""A folder that was named for a run and is none: where was looked, and which runs may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.schema import Record
from dfrd_bench.records.store import RECORD_FILE, load_record
from dfrd_bench.records.tree import find_files

USUAL = Path("results")  # where runs are written to by default
SHOWN = 3


def named_record(folder: Path) -> Record:
    """The record of a folder that somebody named.

    Raises:
        DfrdBenchError: see `load_record`; where there is none, where was looked, and the nearest runs.
    """
    try:
        return load_record(folder)
    except DfrdBenchError as error:
        if (path := folder / RECORD_FILE).exists() or path.is_symlink():
            raise
        raise DfrdBenchError(f"{error} Looked for {path.absolute()}.{meant_instead(folder)}") from error


def meant_instead(folder: Path) -> str:
    """A sentence, with a blank before it, for the message about a folder that has no record: the runs that are nearest.

    Args:
        folder: as the user named it. Where it holds runs, they are meant; else those beside it, or below `results`.

    Returns:
        "" where no run is found at all.
    """
    if folder.is_dir() and (below := _runs(folder)):
        return f" There are {len(below)} runs below it: name one of them, such as {str(below[0])!r}."
    root = _looked_through(folder)
    if root is None or not (runs := _runs(root)):
        return ""
    if near := _nearest(folder, root, runs):
        return f" Did you mean {' or '.join(repr(str(run)) for run in near)}?"
    return f" `dfrd-bench list runs {root}` shows the {len(runs)} runs that are below {root}."


def _looked_through(folder: Path) -> Path | None:
    """The folder nearest above that is there, unless that is where the user stands, or stands below."""
    there = next((one for one in folder.parents if one.is_dir()), Path())
    if there.resolve() not in (here := Path.cwd(), *here.parents, Path.home()):
        return there
    return USUAL if USUAL.is_dir() else None


def _runs(root: Path) -> list[Path]:
    return [folder for folder, problem in find_files(root, RECORD_FILE) if problem is None]


def _nearest(folder: Path, root: Path, runs: Sequence[Path]) -> list[Path]:
    """Runs that have the name in their path, or names like it, the nearest first."""
    wanted = folder.name.lower()
    named = [run for run in runs if any(part.lower().startswith(wanted) for part in run.relative_to(root).parts)]
    paths = {str(run): run for run in runs}
    ends = {run.name: run for run in runs}
    similar = [paths[text] for text in difflib.get_close_matches(str(folder), paths, n=SHOWN, cutoff=0.8)]
    similar += [ends[text] for text in difflib.get_close_matches(folder.name, ends, n=SHOWN, cutoff=0.8)]
    return [*dict.fromkeys([*(named if wanted else []), *similar])][:SHOWN]
