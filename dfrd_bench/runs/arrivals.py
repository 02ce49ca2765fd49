"""Where what was made elsewhere lands: in the run's folder, alone in it, every file whole, the record last."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import ExitStack, suppress
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.alone import LOCK_FILE, Alone, alone_in
from dfrd_bench.records.files import flush_folder, temporary, unwritable
from dfrd_bench.records.schema import Record
from dfrd_bench.records.store import RECORD_FILE
from dfrd_bench.runs.merging import astray


class Arrivals:
    """The folder of one run, locked until `close`: no other process writes there, and status finds this one at work.

    Args:
        folder: made if it is not there.

    Raises:
        DfrdBenchError: another process works there, or it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open = ExitStack()
        self._alone: Alone = self._open.enter_context(alone_in(folder))
        self._staged: dict[str, Path] = {}

    def stage(self, name: str, data: bytes) -> None:
        """Write a file beside its place.

        Raises:
            DfrdBenchError: it cannot be written, or has no place in the folder.
        """
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or name == LOCK_FILE:
            raise DfrdBenchError(f"A worker sent a file {name!r}, which has no place in {self.folder}.")
        self._alone.check()
        part = temporary(self.folder / name)
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            with part.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise unwritable(self.folder / name, error) from error
        if before := self._staged.pop(name, None):
            before.unlink(missing_ok=True)
        self._staged[name] = part

    def keep(self, names: Collection[str] | None = None) -> None:
        """Let everything that was staged take its place; a record last, and only if it fits what is beside it.

        Args:
            names: of all files that the run left: others go. None while it goes on.

        Raises:
            DfrdBenchError: the folder is another's now, or the record contradicts its evidence.
        """
        self._alone.check()
        staged, self._staged = self._staged, {}
        record = staged.pop(RECORD_FILE, None)
        try:
            for name, part in staged.items():
                part.replace(self.folder / name)
            flush_folder(self.folder)
            if record is not None:
                self._check(record)
                record.replace(self.folder / RECORD_FILE)
            if names is not None:
                self._remove_but(names)
            flush_folder(self.folder)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        finally:
            for part in [*staged.values(), *([record] if record else [])]:
                with suppress(OSError):
                    part.unlink(missing_ok=True)

    def close(self) -> None:
        """What was staged and not kept goes, and others may work in the folder."""
        for part in self._staged.values():
            with suppress(OSError):
                part.unlink(missing_ok=True)
        self._staged = {}
        self._open.close()

    def _check(self, part: Path) -> None:
        try:
            wrong = astray(self.folder, Record.model_validate_json(part.read_bytes()))
        except ValidationError as error:
            wrong = [str(error.errors()[0]["msg"])]
        if wrong:
            raise DfrdBenchError(f"What came back to {self.folder} does not hold: {wrong[0]}")

    def _remove_but(self, names: Collection[str]) -> None:
        """What only the way there needed, and the worker has removed."""
        for path in sorted(self.folder.rglob("*"), reverse=True):  # what is in a folder before the folder
            if path.is_dir() and not path.is_symlink():
                with suppress(OSError):
                    path.rmdir()
            elif path.name != LOCK_FILE and path.relative_to(self.folder).as_posix() not in names:
                path.unlink(missing_ok=True)
