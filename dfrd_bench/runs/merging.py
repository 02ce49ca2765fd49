"""Results of several folders in one: what holds and is missing is copied, and nothing that is there is changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.best_known import best_known
from dfrd_bench.evaluation.contradictions import contradictions
from dfrd_bench.evaluation.recomputation import differences
from dfrd_bench.records.alone import LOCK_FILE
from dfrd_bench.records.contests import CONTEST_FILE, CONTESTS_FOLDER
from dfrd_bench.records.files import TEMPORARY, replace_whole, whole_folder
from dfrd_bench.records.presence import at_work
from dfrd_bench.records.reading import chunks
from dfrd_bench.records.schema import Record
from dfrd_bench.records.store import (
    EVENTS_FILE,
    RECORD_FILE,
    RERUN_FOLDER,
    TEACHER_SUFFIX,
    TENSORBOARD_FOLDER,
    UNFINISHED_FOLDER,
    find_records,
    load_predictions,
    load_record,
    teacher_folder,
)
from dfrd_bench.records.weights import sha256_of
from dfrd_bench.runs.epochs import CHECKPOINT_FOLDER

Verdict = Literal["taken", "there", "refused"]
LEFT_OUT = {
    LOCK_FILE,
    "state",
    CHECKPOINT_FOLDER,
    UNFINISHED_FOLDER,
    RERUN_FOLDER,
    EVENTS_FILE,
    TENSORBOARD_FOLDER,
}  # what only the way to a record needed, or what was watched on it


@dataclass(frozen=True)
class Merged:
    """What became of one record.

    Attributes:
        folder: where it was found.
        verdict: taken, there (the same run was in the results already) or refused.
        place: where it is now; of a refused one, the record that it contradicts, if there is one.
        why: it was refused; or what of it was taken, where its record was there already.
    """

    folder: Path
    verdict: Verdict
    place: Path | None = None
    why: str = ""


def merge(sources: Sequence[Path], into: Path) -> Iterator[Merged]:
    """Copy every record that holds, and that is not there yet, with its files, to the same place below another folder.

    A folder appears there whole or not at all. Runs are told apart by their hash (`ExperimentSpec.digest`), wherever they lie.

    Args:
        sources: results folders, or folders of single runs; nothing in them is changed.
        into: a results folder; made if it is not there.

    Raises:
        DfrdBenchError: a source does not exist, holds no record, or is (in) the folder to copy into, or that in it.
    """
    into = Path(into)
    found = {source: _records_of(Path(source), into) for source in sources}
    there: dict[str, Path] = {}
    for folder, record in find_records(into) if into.is_dir() else ():
        if isinstance(record, Record):
            there.setdefault(record.spec.digest(), folder)
    for source, records in found.items():
        for folder, record in records:
            try:
                yield _merged(Path(source), folder, record, into, there)
            except DfrdBenchError as error:
                yield Merged(folder, "refused", why=str(error))


def _records_of(source: Path, into: Path) -> list[tuple[Path, Record | DfrdBenchError]]:
    """What is to be merged from a folder.

    Raises:
        DfrdBenchError: nothing can be.
    """
    here, there = source.resolve(), into.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise DfrdBenchError(f"{source} and {into} lie in one another: there is nothing to merge.")
    records = list(find_records(source))
    if not records:
        raise DfrdBenchError(f"There is no record below {source}.")
    return records


def _merged(source: Path, folder: Path, record: Record | DfrdBenchError, into: Path, there: dict[str, Path]) -> Merged:
    if isinstance(record, DfrdBenchError):
        raise record
    if wrong := astray(folder, record):
        return Merged(folder, "refused", why=f"it does not hold: {wrong[0]}")
    digest = record.spec.digest()
    if digest in there:
        why = _conflict(record, load_record(there[digest]))
        if not why and (count := _copy_contests(folder, record, there[digest])):
            return Merged(folder, "taken", there[digest], f"its contests, {count}, beside the record that is there")
        return Merged(folder, "refused" if why else "there", there[digest], why)
    place = record.spec.folder(into) if folder == source else into / folder.relative_to(source)
    if worker := at_work(place):
        return Merged(folder, "refused", why=f"{worker} is making a run in {place}")
    if os.path.lexists(place):
        return Merged(folder, "refused", why=f"{place} is there without this record: finish that run, or move it away")
    if record.spec.kind == "teacher":
        _copy_teacher(folder, place, record)
    copy_whole(folder, place)
    there[digest] = place
    return Merged(folder, "taken", place)


def astray(folder: Path, record: Record) -> list[str]:
    """What is wrong with a record, held against the files beside it: a sentence each.

    Raises:
        DfrdBenchError: its predictions cannot be read.
    """
    return contradictions(folder, record) or list(differences(record, load_predictions(folder)))


def _conflict(new: Record, old: Record) -> str:
    """Why two records of one hash cannot both be believed, or why the new one says more; empty if it says nothing new."""
    if new.weights_sha256 != old.weights_sha256:
        return "the record there is of the same hash and of other weights: which one is believed is yours to decide"
    if new.dataset.test_digest != old.dataset.test_digest:
        return "the record there is of the same hash and weights, tested on other images"
    both = new.evaluation.attacks.keys() & old.evaluation.attacks.keys()
    if differing := [a for a in both if new.evaluation.attacks[a].confusion != old.evaluation.attacks[a].confusion]:
        return f"the record there has the same weights and another outcome of {', '.join(sorted(differing))}"
    more = [name for name in new.evaluation.attacks if name not in old.evaluation.attacks]
    return f"the record there lacks {', '.join(more)}: `dfrd-bench evaluate` adds that there" if more else ""


def _copy_teacher(folder: Path, place: Path, record: Record) -> None:
    """The weights of a teacher that was trained, which lie beside its record.

    Raises:
        DfrdBenchError: other weights have their place.
    """
    weights, target = folder.with_suffix(TEACHER_SUFFIX), place.with_suffix(TEACHER_SUFFIX)
    if record.training is None or teacher_folder(weights) != folder or not weights.exists():
        return
    if not os.path.lexists(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_whole(target, b"".join(chunks(weights)))
    elif sha256_of(target) != record.weights_sha256:
        raise DfrdBenchError(f"{target} is there, and is another network: move it away.")


def _copy_contests(folder: Path, record: Record, place: Path) -> int:
    """Copy the contests below a run's folder that count and that another copy of it lacks; returns how many.

    Raises:
        DfrdBenchError: see `copy_whole`.
    """
    lacking = [one.folder for one in best_known(folder, record).contests]
    lacking = [path for path in lacking if not (place / CONTESTS_FOLDER / path.name).exists()]
    for path in lacking:
        copy_whole(path, place / CONTESTS_FOLDER / path.name, CONTEST_FILE)
    return len(lacking)


def copy_whole(folder: Path, place: Path, last: str = RECORD_FILE) -> None:
    """Copy the files of a finished run's folder, so that the new folder is there whole or not at all.

    Args:
        folder: of the run.
        place: the new folder.
        last: the file that is written last, and must not be changed meanwhile.

    Raises:
        DfrdBenchError: a file cannot be read, or nothing can be written there, or meanwhile something was.
    """
    with whole_folder(place) as part:
        for path in _files(folder):
            target = part / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                for chunk in chunks(path):
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        if (part / last).read_bytes() != (folder / last).read_bytes():
            raise DfrdBenchError(f"{folder} was changed while it was copied: merge again.")


def _files(folder: Path) -> Iterator[Path]:
    """What a finished run left, without what only the way there needed."""
    for path in sorted(folder.iterdir()):
        if path.name in LEFT_OUT or TEMPORARY.search(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            inside = (found for found in sorted(path.rglob("*")) if found.is_file())
            yield from (found for found in inside if not LEFT_OUT & set(found.relative_to(folder).parts))
        else:
            yield path
