"""What a run writes on a worker's own disk, as messages: what has changed since the last time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from dfrd_bench.execution.jobs import LOG_FILE
from dfrd_bench.execution.ray.messages import File, Log, Message, Place, Whole
from dfrd_bench.records.alone import LOCK_FILE
from dfrd_bench.records.files import TEMPORARY
from dfrd_bench.records.store import RECORD_FILE
from dfrd_bench.runs.checkpoint import HISTORY_FILE, State

State_ = tuple[int, int]


class Outgoing:
    """The files of one run.

    Args:
        results: the results folder, which is this run's alone.
        job: the job's folder in it, where the log is.
        brought: names, relative to `results`, of files that were there before: they are not sent back as they are.
    """

    def __init__(self, results: Path, job: Path, brought: Mapping[str, bytes]) -> None:
        self._results, self._log = results, job / LOG_FILE
        self._folder: Path | None = None
        self._sent = {path: seen for path in (results / name for name in brought) if (seen := _state(path))}
        self._told = 0  # bytes of the log

    def place(self) -> Iterator[Message]:
        """The run's folder, once it is known: where the lock is, or a record that was not there before."""
        if self._folder is not None:
            return
        marks = [*self._results.rglob(LOCK_FILE), *self._results.rglob(RECORD_FILE)]
        if new := [path for path in marks if _state(path) != self._sent.get(path)]:
            self._folder = new[0].parent
            yield Place(str(self._folder.relative_to(self._results)))

    def news(self) -> Iterator[Message]:
        """The log, and what says how far the run is."""
        yield from self._logged()
        if self._folder is None:
            return
        changed = False
        for path in (State(self._folder).path, self._folder / HISTORY_FILE):
            for file in self._changed(
                path
            ):  # Ray sends into what it iterates over, so that no list may be yielded from
                changed = True
                yield file
        if changed:
            yield Whole()

    def all(self, *, last: bool = False) -> Iterator[Message]:
        """Everything; one file after another, so that no more than one is held in memory."""
        yield from self._logged()
        if self._folder is None:
            return
        paths = [path for path in sorted(self._folder.rglob("*")) if path.is_file() and not _is_litter(path)]
        for path in paths:
            yield from self._changed(path)
        yield Whole([str(path.relative_to(self._folder)) for path in paths] if last else None)

    def _changed(self, path: Path) -> Iterator[File]:
        before = _state(path)
        if self._folder is None or before is None or self._sent.get(path) == before:
            return
        try:
            data = path.read_bytes()
        except OSError:  # replaced or removed just now
            return
        self._sent[path] = before
        yield File(str(path.relative_to(self._folder)), data)

    def _logged(self) -> Iterator[Message]:
        try:
            with self._log.open("rb") as file:
                file.seek(self._told)
                data = file.read()
        except OSError:
            return
        self._told += len(data)
        if data:
            yield Log(data)


def _is_litter(path: Path) -> bool:
    return path.name == LOCK_FILE or bool(TEMPORARY.search(path.name))


def _state(path: Path) -> State_ | None:
    """When a file was written last and its size, in nanoseconds and bytes; None if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def files_of(folder: Path, results: Path) -> dict[str, bytes]:
    """What there is of a run, by names relative to the results folder, for a worker that does not see it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and not _is_litter(path):
            found[str(path.relative_to(results))] = path.read_bytes()
    return found
