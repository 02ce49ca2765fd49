"""One folder, one worker: a lock of the system's where it keeps one, and a heartbeat where it does not."""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.files import drop_temporaries, unwritable

log = logging.getLogger(__name__)

LOCK_FILE = "lock"
BEAT = 5.0  # seconds between two beats of a worker's heart
SILENCE = 4 * BEAT  # seconds without a beat after which a worker is taken for dead
LENGTH = 400  # bytes of a lock file, always as many, so that each beat overwrites the last
TAKEN = "Another process is at work in"  # how it is said that a folder cannot be had now
TRIES = 100  # to open a lock file that others keep removing


@dataclass
class Alone:
    """Work in a folder that no other process may do meanwhile.

    Attributes:
        folder: where.
        file: the open lock file; who has the path's own file has the folder.
        who: host, process and attempt, as the lock file says them.
        locked: whether the system keeps a lock on the file; else who wrote into it last has the folder.
    """

    folder: Path
    file: IO[bytes]
    who: dict[str, Any]
    locked: bool
    _stopped: threading.Event = field(default_factory=threading.Event)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def check(self) -> None:
        """Make sure, before something is written, that the folder is still there and still this worker's.

        Raises:
            DfrdBenchError: it vanished, or another process took it over.
        """
        with self._turn:
            ours = _same_file(self.file, self.folder / LOCK_FILE) and self._is_last()
        if not ours:
            raise DfrdBenchError(
                f"{self.folder} was removed, or taken over by another process, while work was going on in it: "
                "nothing more is written there. Run the same command again."
            )

    def beat(self) -> None:
        """Say that this worker is alive, unless another has taken over."""
        with self._turn:
            if self._is_last():
                _say(self.file, {**self.who, "beat": time.time()})

    def _is_last(self) -> bool:
        return self.locked or said(self.file).get("attempt") == self.who["attempt"]

    def keep_beating(self) -> None:
        """Until `stop`; a disk that is full for a while does not end it."""
        while not self._stopped.wait(BEAT):
            with suppress(OSError, ValueError):
                self.beat()

    def stop(self) -> None:
        """The work is done."""
        self._stopped.set()


@contextmanager
def alone_in(folder: Path, patience: float = 0) -> Iterator[Alone]:
    """While it lasts, no other process that asks the same may work in a folder; the system ends it with the process.

    The lock file says host, process, attempt and when it last beat. Where the system keeps no locks (ENOLCK, EACCES; on Windows),
    and where the file is of another host, whose locks may not be seen here, somebody is taken for alive whose file changes within
    `SILENCE` seconds, and a warning says that this is how it is decided. What killed processes had half written is removed.

    Args:
        folder: made if it is not there, and removed again if nothing is written.
        patience: seconds to wait for another process.

    Raises:
        DfrdBenchError: another process works there, or the folder cannot be written.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    until = time.monotonic() + patience
    while (alone := _taken(folder)) is None:
        if time.monotonic() >= until:
            raise DfrdBenchError(f"{TAKEN} {folder}: wait for it, or stop it.")
        time.sleep(0.1)
    threading.Thread(target=alone.keep_beating, name="heartbeat", daemon=True).start()
    try:
        drop_temporaries(folder)
        for inside in folder.iterdir():
            if inside.is_dir() and not inside.is_symlink() and not (inside / LOCK_FILE).exists():
                drop_temporaries(inside)
        yield alone
    finally:
        alone.stop()
        with alone.file, suppress(OSError):
            if _same_file(alone.file, folder / LOCK_FILE):  # else it is another's
                (folder / LOCK_FILE).unlink()
                for place in made:
                    place.rmdir()  # if the work was refused and nothing was written


def _taken(folder: Path) -> Alone | None:
    """The folder, if nobody else has it.

    Raises:
        DfrdBenchError: it cannot be written.
    """
    path = folder / LOCK_FILE
    for _ in range(TRIES):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = path.open("r+b" if path.exists() else "x+b", buffering=0)
        except (FileNotFoundError, FileExistsError):  # another process was quicker, to remove it or to make it
            if not folder.is_dir() and folder.exists():
                raise unwritable(path, NotADirectoryError(20, "Not a directory")) from None
            continue
        except OSError as error:
            raise unwritable(path, error) from error
        alone = _examined(folder, file)
        if alone is not None and _same_file(file, path):  # else it was removed between opening and locking
            return alone
        file.close()
        if alone is None:
            return None
    return None


def _examined(folder: Path, file: IO[bytes]) -> Alone | None:
    """An open lock file, if nobody alive has it; now with this worker's name in it.

    Raises:
        DfrdBenchError: it cannot be written.
    """
    refusal = _locked(file)
    if isinstance(refusal, BlockingIOError):
        return None
    there = said(file)
    who = {"host": socket.gethostname(), "process": os.getpid(), "attempt": secrets.token_hex(8)}
    if there and (refusal is not None or there.get("host") != who["host"]):
        why = f"keeps no locks ({refusal})" if refusal else "may not show the locks of another host"
        log.warning(
            "%s: the file system %s. Watching for %.0f s whether process %s on %s, which was at work there, still is.",
            *(folder, why, SILENCE, there.get("process"), there.get("host")),
        )
        if _beats(file, there):
            return None
    elif refusal is not None:
        log.warning("%s: the file system keeps no locks (%s). A heartbeat keeps others out.", folder, refusal)
    alone = Alone(folder, file, who, locked=refusal is None)
    try:
        _say(file, {**who, "beat": time.time()})
    except OSError as error:
        raise unwritable(folder / LOCK_FILE, error) from error
    if refusal is not None:  # of two that wrote at once, the later has it
        time.sleep(BEAT / 10)
        if said(file).get("attempt") != who["attempt"]:
            return None
    return alone


def _locked(file: IO[bytes]) -> OSError | None:
    """Take the system's lock on a file; returns what the system says where another has it, or where it keeps none."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        return OSError(0, "not on this system")
    except OSError as error:
        return error
    return None


def _beats(file: IO[bytes], there: dict[str, Any]) -> bool:
    """Whether what a lock file says changes within a while."""
    until = time.monotonic() + SILENCE
    while time.monotonic() < until:
        time.sleep(min(BEAT, SILENCE) / 5)
        if said(file) != there:
            return True
    return False


def _say(file: IO[bytes], what: dict[str, Any]) -> None:
    file.seek(0)
    file.write(json.dumps(what).encode()[: LENGTH - 1].ljust(LENGTH - 1) + b"\n")
    os.fsync(file.fileno())


def said(file: IO[bytes]) -> dict[str, Any]:
    """What an open lock file says; empty where that is nothing, or nothing that can be read."""
    try:
        file.seek(0)
        found = json.loads(file.read(LENGTH))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _same_file(file: IO[bytes], path: Path) -> bool:
    """Whether an open file is the one that a path leads to now."""
    try:
        ours, there = os.fstat(file.fileno()), path.stat()
    except OSError:
        return False
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)
