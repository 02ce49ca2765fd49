"""Which runs lie below a folder, and how far each came: finished, at work, or stopped where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.presence import at_work
from dfrd_bench.records.reading import read_text
from dfrd_bench.records.schema import Record
from dfrd_bench.records.store import RECORD_FILE, UNFINISHED_FOLDER, load_record
from dfrd_bench.records.tree import find_files
from dfrd_bench.reporting.codes import is_by_other_code
from dfrd_bench.runs.checkpoint import HISTORY_FILE, LARGEST, State
from dfrd_bench.runs.failures import ERROR_LOG
from dfrd_bench.runs.failures import LARGEST as LARGEST_LOG

Status = Literal["finished", "at work", "stopped", "unreadable"]


@dataclass(frozen=True)
class Standing:
    """How far one run came.

    Attributes:
        folder: of the run.
        status: at work where its process is alive (`presence.at_work`).
        where: in words: what was measured, or in which stage it is or stopped, or what is wrong with it.
        error: what ended its last attempt, in a line; "" where nothing did, or that is over.
        spec: what it was asked for; empty where it does not say.
        other_code: whether it names code that its method is not made of any more.
    """

    folder: Path
    status: Status
    where: str
    error: str
    spec: Mapping[str, Any]
    other_code: bool = False


def runs_below(results: Path) -> list[Standing]:
    """Every run below a folder, in order of path, finished or not.

    Raises:
        DfrdBenchError: the folder does not exist.
    """
    if not results.is_dir():
        raise DfrdBenchError(f"There is no results folder {results}: give the one that your runs were written to.")
    found: dict[Path, DfrdBenchError | None] = {}
    for name in (RECORD_FILE, "state", HISTORY_FILE):
        for folder, problem in find_files(results, name):
            found.setdefault(folder, problem)
    return [
        standing(folder) if problem is None else Standing(folder, "unreadable", str(problem), "", {})
        for folder, problem in sorted(found.items())
    ]


def standing(folder: Path) -> Standing:
    """How far the run in a folder came."""
    found = _standing(folder)
    method, code = found.spec.get("method"), found.spec.get("code")
    known = isinstance(method, str) and isinstance(code, str)
    return replace(found, other_code=known and is_by_other_code(str(method), str(code)))


def _standing(folder: Path) -> Standing:
    state = State(folder).read()
    said = state.get("spec")
    spec: Mapping[str, Any] = said if isinstance(said, dict) else {}
    worker = at_work(folder)
    if (folder / RECORD_FILE).exists() or (folder / RECORD_FILE).is_symlink():
        try:
            record = load_record(folder)
        except DfrdBenchError as error:
            return Standing(folder, "unreadable", str(error), "", spec)
        return Standing(
            folder, "at work" if worker else "finished", _measured(record), "", record.spec.model_dump(mode="json")
        )
    where = f"{_stage(folder, state, spec)}{f', by {worker}' if worker else ''}"
    return Standing(folder, "at work" if worker else "stopped", where, "" if worker else _last_error(folder), spec)


def _measured(record: Record) -> str:
    return ", ".join(f"{name} {100 * result.average:.1f}" for name, result in record.evaluation.attacks.items())


def _stage(folder: Path, state: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    """In which stage it is, and how far in that."""
    config = spec.get("config")
    epochs = config.get("epochs") if isinstance(config, dict) else None
    done = _lines(folder / HISTORY_FILE)
    trained = f"{done} of {epochs} epochs" if epochs else f"{done} epochs"
    if state.get("stage") != "evaluation":
        return f"training, {trained} done"
    begun = sorted(path.stem for path in (folder / UNFINISHED_FOLDER).glob("*.npz"))
    return f"evaluation, after {trained}" + (f"; begun: {', '.join(begun)}" if begun else "")


def _lines(path: Path) -> int:
    try:
        return read_text(path, LARGEST).count("\n")
    except DfrdBenchError:
        return 0


def _last_error(folder: Path) -> str:
    """The last line of the error log, which names what was raised."""
    try:
        lines = read_text(folder / ERROR_LOG, LARGEST_LOG).strip().splitlines()
    except DfrdBenchError:
        return ""
    return lines[-1].strip() if lines else ""
