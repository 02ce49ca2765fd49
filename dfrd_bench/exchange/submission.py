"""Handing runs in to a results repository: verified, audited, copied whole, and written down in a manifest."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dfrd_bench._version import __version__
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.observer import SILENT, OnStep
from dfrd_bench.records.contests import CONTESTS_FOLDER
from dfrd_bench.records.files import check_writable, write_atomically
from dfrd_bench.records.reading import MIB, brief, read_file
from dfrd_bench.records.schema import Record
from dfrd_bench.records.store import RECORD_FILE, TEACHER_SUFFIX, find_records, load_record
from dfrd_bench.records.tree import find_files
from dfrd_bench.records.weights import sha256_of
from dfrd_bench.reporting.audit.recorded import audit_runs, shared_by_tables
from dfrd_bench.reporting.evidence import Run
from dfrd_bench.runs.contesting import check_by
from dfrd_bench.runs.merging import Verdict, merge
from dfrd_bench.runs.verification import verify_run

MANIFESTS_FOLDER = "submissions"
LARGEST_MANIFEST = 64 * MIB
GRAVE = (
    "impossible",
    "contradictory",
)  # findings of the audit for which a run is refused; suspicious ones are written down


@dataclass(frozen=True)
class Submitted:
    """What became of one run.

    Attributes:
        folder: where it was.
        verdict: taken, there (the repository has it already) or refused.
        place: where it is now.
        findings: why it was refused, or what of it was taken.
        remarks: what the audit finds suspicious, for which nothing is refused.
    """

    folder: Path
    verdict: Verdict
    place: Path | None = None
    findings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Data):
    """One file, to the byte."""

    sha256: str
    bytes: int = Field(ge=0)


class RunEntry(_Data):
    """One run that was taken: its folder in the repository, and its files by their paths there."""

    folder: str
    method: str
    dataset: str
    weights_sha256: str
    files: dict[str, FileEntry]
    remarks: tuple[str, ...] = ()


class Manifest(_Data):
    """One submission: who handed what in, when, and which version checked it."""

    schema_version: Literal[1] = 1
    created: str
    by: Annotated[str, Field(min_length=1)]
    dfrd_bench: str
    runs: tuple[RunEntry, ...]


def submit(
    runs: Sequence[Path], into: Path, *, by: str, progress: OnStep = SILENT.on_data
) -> tuple[list[Submitted], Path | None]:
    """Copy runs that hold into a results repository, and write a manifest of those that were taken.

    A run is refused, and the others are not, where `verify` finds a difference, where the audit finds something impossible or
    contradictory in it or between it and the repository's runs of the same table, or for what `merge` refuses. Nothing that
    is there is changed.

    Args:
        runs: folders of single runs, or folders that hold some.
        into: the repository's results folder; made if it is not there.
        by: who hands them in.
        progress: told how many runs are checked.

    Returns:
        What became of each, and the manifest; None where nothing was taken.

    Raises:
        DfrdBenchError: there is no run in one of the folders, `by` names nobody, or nothing can be written there.
    """
    check_by(by)
    into = Path(into)
    folders: dict[Path, DfrdBenchError | None] = {}
    for run in map(Path, runs):
        found = find_files(run, RECORD_FILE) if run.exists() else []
        if not found:
            raise DfrdBenchError(f"There is no record below {run}.")
        folders |= dict(found)
    known = find_records(into) if into.is_dir() else ()
    there = [(str(folder), record) for folder, record in known if isinstance(record, Record)]
    outcomes, accepted = {}, []
    for number, (folder, problem) in enumerate(folders.items()):
        progress("checking runs", number, len(folders))
        findings, remarks = ([str(problem)], []) if problem else _judged(folder, there)
        outcomes[folder] = Submitted(folder, "refused", None, tuple(findings), tuple(remarks))
        accepted += [] if findings else [folder]
    progress("checking runs", len(folders), len(folders))
    if accepted:
        check_writable(into / MANIFESTS_FOLDER / "manifest")
    for one in merge(accepted, into) if accepted else ():
        remarks = list(outcomes[one.folder].remarks)
        outcomes[one.folder] = Submitted(
            one.folder, one.verdict, one.place, tuple(filter(None, [one.why])), tuple(remarks)
        )
    return list(outcomes.values()), _write_manifest(into, by, list(outcomes.values()))


def check_submissions(into: Path) -> Iterator[str]:
    """A sentence for each file of a repository that is not what its last manifest says, and for each manifest that says nothing.

    Raises:
        DfrdBenchError: there is no manifest.
    """
    said: dict[str, tuple[str, FileEntry]] = {}
    for path, manifest in _manifests(into):
        if isinstance(manifest, DfrdBenchError):
            yield str(manifest)
        else:
            said |= {name: (path.name, entry) for run in manifest.runs for name, entry in run.files.items()}
    if not said:
        raise DfrdBenchError(f"There is no manifest in {Path(into) / MANIFESTS_FOLDER}.")
    for name, (source, entry) in said.items():
        if wrong := _astray(Path(into), name, entry):
            yield f"{brief(name)} {wrong}, says {source}."


def _astray(into: Path, name: str, entry: FileEntry) -> str:
    """What became of a file that was handed in; "" if it is as it was."""
    file = into / name
    try:
        if not file.resolve().is_relative_to(into.resolve()):
            return "is outside the repository"
        if not file.is_file():
            return "is missing"
        return "" if sha256_of(file) == entry.sha256 else "is not what was handed in"
    except (OSError, RuntimeError, ValueError, DfrdBenchError):  # no name of a file, a loop of links, or not to be read
        return "cannot be read"


def _manifests(into: Path) -> Iterator[tuple[Path, Manifest | DfrdBenchError]]:
    """Every manifest of a repository, or what is wrong with it; in the order in which they were made, as their names say."""
    for path in sorted((Path(into) / MANIFESTS_FOLDER).glob("*.json")):
        try:
            yield path, Manifest.model_validate_json(read_file(path, LARGEST_MANIFEST))
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            yield path, DfrdBenchError(f"{path} is not a valid manifest: {brief(first['msg'])}.")
        except DfrdBenchError as error:
            yield path, error


def _judged(folder: Path, there: Sequence[Run]) -> tuple[list[str], list[str]]:
    """Why a run must be refused, and what is suspicious in it."""
    try:
        record = load_record(folder)
        findings = verify_run(folder)
    except DfrdBenchError as error:
        return [str(error)], []
    run = (str(folder), record)
    found = [*audit_runs([run]), *(one for one in shared_by_tables([*there, run]) if one.where == str(folder))]
    said = {
        one: f"{one.kind}, {one.rule}: {one.sentence} [{', '.join(filter(None, (one.cell, one.numbers)))}]"
        for one in found
    }
    findings += [text for one, text in said.items() if one.kind in GRAVE]
    return findings, [text for one, text in said.items() if one.kind not in GRAVE]


def _write_manifest(into: Path, by: str, outcomes: Sequence[Submitted]) -> Path | None:
    """Write down what was taken, and what an interrupted submission had copied and no manifest names."""
    named = {run.folder for _, found in _manifests(into) if isinstance(found, Manifest) for run in found.runs}
    taken: list[tuple[Path, tuple[str, ...]]] = []
    for one in outcomes:
        if one.place is None or one.verdict == "refused":
            continue
        if one.verdict == "taken" or one.place.relative_to(into).as_posix() not in named:
            taken.append((one.place, one.remarks))
    if not taken:
        return None
    now = datetime.datetime.now(datetime.timezone.utc)
    runs = tuple(_entry(into, place, remarks) for place, remarks in taken)
    manifest = Manifest(created=now.isoformat(timespec="seconds"), by=by, dfrd_bench=__version__, runs=runs)
    text = json.dumps(manifest.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    name = f"{now:%Y%m%dT%H%M%S%fZ}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
    path = into / MANIFESTS_FOLDER / name
    write_atomically(path, text.encode())
    return path


def _entry(into: Path, place: Path, remarks: tuple[str, ...]) -> RunEntry:
    record = load_record(place)
    files = [path for path in sorted(place.iterdir()) if path.is_file()]
    files += [path for path in sorted((place / CONTESTS_FOLDER).rglob("*")) if path.is_file()]
    beside = place.with_suffix(TEACHER_SUFFIX)
    files += [beside] if record.spec.kind == "teacher" and beside.is_file() else []
    return RunEntry(
        folder=place.relative_to(into).as_posix(),
        method=record.spec.method,
        dataset=record.spec.dataset,
        weights_sha256=record.weights_sha256,
        files={
            path.relative_to(into).as_posix(): FileEntry(sha256=sha256_of(path), bytes=path.stat().st_size)
            for path in files
        },
        remarks=remarks,
    )
