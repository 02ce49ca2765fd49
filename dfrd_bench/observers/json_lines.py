"""The observer `jsonl`: a line of JSON for each thing that happens in a run."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from dfrd_bench.observer import Observer
from dfrd_bench.observers.base import Logger
from dfrd_bench.records.files import expanded, unwritable
from dfrd_bench.records.schema import METRICS
from dfrd_bench.records.store import EVENTS_FILE, load_record


class Lines:
    """Writes events to a file, each whole and at once; to one in the run's folder where no other was named."""

    def __init__(self, path: Path | None) -> None:
        self.file: IO[str] | None = None if path is None else _appending(path)

    def observer(self) -> Observer:
        return Observer(on_start=self.start, on_epoch=self.epoch, on_attack=self.attack, on_record=self.record)

    def start(self, folder: Path, epochs: int, done: int) -> None:
        self._begin(folder)
        self._write("start", folder=str(folder), epochs=epochs, done=done)

    def epoch(self, epoch: int, numbers: dict[str, float]) -> None:
        self._write("epoch", epoch=epoch, **{"numbers": {name: _finite(value) for name, value in numbers.items()}})

    def attack(self, attack: str, done: int, total: int, accuracy: float) -> None:
        self._write("attack", attack=attack, done=done, total=total, accuracy=_finite(accuracy))

    def record(self, folder: Path) -> None:
        self._begin(folder)
        found = load_record(folder).evaluation
        attacks = {name: {m: getattr(result, m) for m in METRICS} for name, result in found.attacks.items()}
        self._write("record", folder=str(folder), attacks=attacks, worst_case=found.worst_case)

    def close(self) -> None:
        if self.file is not None:
            self.file.close()

    def _begin(self, folder: Path) -> None:
        if self.file is None:
            self.file = _appending(folder / EVENTS_FILE)

    def _write(self, event: str, **said: Any) -> None:
        if self.file is None:  # attacks that are added to a finished run, before its folder is told
            return
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
        self.file.write(json.dumps({"time": now, "event": event, **said}, ensure_ascii=False, allow_nan=False) + "\n")
        self.file.flush()


def _appending(path: Path) -> IO[str]:
    """A file to write on at its end.

    Raises:
        DfrdBenchError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path.parent, error) from error
    try:
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise unwritable(path, error) from error


def _finite(value: float) -> float | None:
    """A number as JSON can say it: null where it is infinite or none."""
    return value if math.isfinite(value) else None


@contextmanager
def _open(where: str) -> Iterator[Observer]:
    lines = Lines(expanded(where) if where else None)
    try:
        yield lines.observer()
    finally:
        lines.close()


json_lines = Logger(
    summary="a line of JSON for each epoch, attack and record: jsonl=FILE, or events.jsonl in the run's folder",
    open=_open,
)
