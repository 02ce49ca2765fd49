"""Which runs are compared: those that are named, and of a suite those that it names."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from dfrd_bench.errors import DfrdBenchError, meant
from dfrd_bench.records.schema import Record
from dfrd_bench.records.store import RECORD_FILE, find_records
from dfrd_bench.records.suites import Suite
from dfrd_bench.registry import METHODS
from dfrd_bench.reporting.evidence import Run

log = logging.getLogger(__name__)


def members_of(names: Sequence[str], results: Path) -> list[Path]:
    """The folders of the runs that are named, each once; of records that cannot be read a warning is logged.

    Args:
        names: runs' folders, folders with runs below, or methods, whose runs are then those below `results`.
        results: where methods' runs are.

    Raises:
        DfrdBenchError: a name is none of these, or nothing of it is there.
    """
    found: dict[Path, Path] = {}
    for name in names:
        path = Path(name)
        if (path / RECORD_FILE).exists():
            part = [path]
        elif path.is_dir() and (below := [folder for folder, _ in _readable(path)]):
            part = below
        elif name in METHODS.names():  # also where a folder without runs is called so, as a plugin's is
            part = [
                folder
                for folder, record in _readable(results)
                if record.spec.kind == "student" and record.spec.method == name
            ]
        elif path.is_dir():
            part = []
        else:
            hint = meant(name, METHODS.names(), listing="dfrd-bench list methods")
            raise DfrdBenchError(f"{name} is neither a run, nor a folder with runs, nor a method. {hint}")
        if not part:
            where = f" below {results}: give --results" if name in METHODS.names() else ""
            raise DfrdBenchError(f"There is no run of {name}{where}.")
        found.update({folder.resolve(): folder for folder in part})
    return list(found.values())


def members_of_suite(runs: Iterable[Run], suite: Suite) -> tuple[list[Run], list[str]]:
    """The runs that a suite names, and a note about its rows that have none.

    Raises:
        DfrdBenchError: none has.
    """
    kept = suite.select(runs)
    if not kept:
        raise suite.has_none("runs")
    lacking = suite.lacking(kept)
    names = "; ".join(" ".join([row.method, *(f"{k}={v}" for k, v in row.settings.items())]) for row in lacking)
    return kept, [f"Rows of the suite without a run here: {names}."] if lacking else []


def _readable(folder: Path) -> Iterable[tuple[Path, Record]]:
    for where, record in find_records(folder):
        if isinstance(record, DfrdBenchError):
            log.warning("Left out: %s", record)
        else:
            yield where, record
