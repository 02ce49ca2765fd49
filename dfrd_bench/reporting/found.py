"""Which records a table is made of: those in results folders that nothing contradicts, and the shipped ones of teachers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.contradictions import contradictions, disbelieved
from dfrd_bench.records.schema import Record
from dfrd_bench.records.store import RECORD_FILE, find_records, load_record, teacher_folder
from dfrd_bench.records.suites import Suite
from dfrd_bench.reporting.evidence import Run

TEACHERS = "teachers"
DEPTH = 3  # folders above the one that is given: of results/dataset/teacher, results itself
SHIPPED = "shipped with dfrd-bench"
WHAT_TO_DO = "Give the folder that your runs were written to."


@dataclass(frozen=True)
class Found:
    """Valid runs, and one sentence for each record that could not be read."""

    runs: list[Run]
    skipped: list[str]


def find_runs(folders: Iterable[Path]) -> Found:
    """All records below some folders, each once even where the folders overlap.

    Raises:
        DfrdBenchError: a folder does not exist or holds no record at all.
    """
    runs: dict[Path, Run] = {}
    skipped: dict[Path, str] = {}
    for folder in folders:
        if not folder.is_dir():
            wrong = "is a file" if folder.exists() else "does not exist"
            raise DfrdBenchError(f"The results folder {folder} {wrong}. {WHAT_TO_DO}")
        found = list(find_records(folder))
        if not found:
            raise DfrdBenchError(
                f"There are no records below {folder}: a finished run leaves a record.json. {WHAT_TO_DO}"
            )
        for where, record in found:
            if isinstance(record, DfrdBenchError):
                skipped[where.resolve()] = str(record)
            else:
                runs[where.resolve()] = (str(where), record)
    return Found(list(runs.values()), list(skipped.values()))


def believed(found: Found) -> Found:
    """The runs that nothing contradicts; the others are skipped, each with a sentence that says why."""
    runs, skipped = [], [*found.skipped]
    for where, record in found.runs:
        if wrong := contradictions(Path(where), record):
            skipped.append(str(disbelieved(Path(where), wrong)))
        else:
            runs.append((where, record))
    return Found(runs, skipped)


def without_copies(runs: Iterable[Run]) -> tuple[list[Run], list[str]]:
    """Each run once, the first found; and a note for each later one that says something else."""
    first: dict[str, Run] = {}
    notes = []
    for where, record in runs:
        kept = first.setdefault(record.spec.digest() + record.spec.variant, (where, record))
        if kept[1].evaluation.attacks.keys() != record.evaluation.attacks.keys() or any(
            result.confusion != record.evaluation.attacks[name].confusion
            for name, result in kept[1].evaluation.attacks.items()
        ):
            notes.append(f"Two records of one run differ; {kept[0]} is shown, {where} is not.")
    return list(first.values()), notes


def runs_of_suite(runs: Sequence[Run], suite: Suite) -> list[Run]:
    """The runs that a suite names, and the records of their teachers.

    Raises:
        DfrdBenchError: there is none.
    """
    named = suite.select(runs)
    if not named:
        raise suite.has_none("records")
    wanted = {_teacher_of(record) for _, record in named}
    return named + [run for run in runs if run[1].spec.kind == "teacher" and _teacher_of(run[1]) in wanted]


def with_shipped_teachers(runs: Sequence[Run]) -> list[Run]:
    """The runs, and the shipped record of each of their teachers that was not evaluated among them.

    Raises:
        DfrdBenchError: a shipped record is damaged.
    """
    wanted = dict.fromkeys(_teacher_of(record) for _, record in runs)
    have = {_teacher_of(record) for _, record in runs if record.spec.kind == "teacher"}
    complete = list(runs)
    for dataset, name in wanted:
        record = None if (dataset, name) in have else shipped_teacher(name)
        if record is not None and (record.spec.kind, record.spec.dataset) == ("teacher", dataset):
            complete.append((SHIPPED, record))
    return complete


def with_trained_teachers(runs: Sequence[Run], folders: Iterable[Path]) -> list[Run]:
    """The runs, and the records of teachers that were trained here and lie outside the folders, beside their weights.

    Looked for in `teachers` below each folder and below those that hold it, which is where `teacher train` puts them. It is the
    teacher's if it is called the same and speaks of the same weights (sha256) and images; one that cannot be read is no one's.
    """
    have = {_teacher_of(record) for _, record in runs if record.spec.kind == "teacher"}
    wanted = {_teacher_of(record): record for _, record in runs if _teacher_of(record) not in have}
    above = [place / TEACHERS for folder in folders for place in (folder, *folder.resolve().parents[:DEPTH])]
    complete = list(runs)
    for run in wanted.values():
        kind, _, file = run.spec.teacher.name.partition(":")
        places = [teacher_folder(place / Path(file).name) for place in above] if kind == "checkpoint" and file else []
        if found := next(filter(None, (_record_of_teacher(place, run) for place in places)), None):
            complete.append(found)
    return complete


def _record_of_teacher(folder: Path, run: Record) -> Run | None:
    """The record in a folder, if it is believed and is that of a run's teacher, tested on the same images."""
    if not (folder / RECORD_FILE).is_file():
        return None
    try:
        record = load_record(folder)
    except DfrdBenchError:
        return None
    same = (record.spec.kind, _teacher_of(record)) == ("teacher", _teacher_of(run))
    same = same and record.weights_sha256 == run.spec.teacher.sha256
    same = same and record.dataset.test_digest == run.dataset.test_digest
    return (str(folder), record) if same and not contradictions(folder, record) else None


def _teacher_of(record: Record) -> tuple[str, str]:
    return record.spec.dataset, record.spec.teacher.name


def shipped_teacher(name: str) -> Record | None:
    """The record that comes with the package for one of its teachers.

    Raises:
        DfrdBenchError: it is damaged.
    """
    if Path(name).name != name:  # a path to a user's own checkpoint
        return None
    resource = files("dfrd_bench.teachers") / "weights" / f"{name}.record.json"
    try:
        return Record.model_validate_json(resource.read_text(encoding="utf-8")) if resource.is_file() else None
    except (OSError, ValidationError) as error:
        raise DfrdBenchError(f"The shipped record of teacher {name} is damaged; reinstall dfrd-bench.") from error
