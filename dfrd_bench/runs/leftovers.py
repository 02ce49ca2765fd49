"""What a process that was killed behind `record.json` left in a run's folder; the next command removes it."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.alone import LOCK_FILE, alone_in
from dfrd_bench.records.files import TEMPORARY
from dfrd_bench.records.schema import Record
from dfrd_bench.records.store import UNFINISHED_FOLDER, drop_unfinished, load_record, unfinished_file
from dfrd_bench.runs.checkpoint import State
from dfrd_bench.runs.epochs import CHECKPOINT_FOLDER
from dfrd_bench.runs.pictures import draw_kept

log = logging.getLogger(__name__)


def finish(folder: Path, record: Record, *, keep_checkpoint: bool = False) -> None:
    """After the record: draw the picture, and remove what only the way there needed; for who is alone in the folder.

    The state goes last: while it is there, somebody was stopped before all of this was done.
    """
    draw_kept(folder, record)
    drop_unfinished(folder / UNFINISHED_FOLDER, record.evaluation.attacks)
    if not keep_checkpoint:
        shutil.rmtree(folder / CHECKPOINT_FOLDER, ignore_errors=True)
    State(folder).clear()


def clear_leftovers(folder: Path) -> None:
    """Of a finished run, what was left by a process that was killed before it had cleaned up. Nothing is written where there is
    nothing, and where nothing may be written it stays.
    """
    record = load_record(folder)
    if not left_in(folder, record):
        return
    try:
        with alone_in(folder):
            keep = bool(State(folder).read().get("keep_checkpoint")) or not State(folder).path.exists()
            finish(folder, load_record(folder), keep_checkpoint=keep)
    except DfrdBenchError as error:
        log.info("What a killed process left in %s stays: %s", folder, error)


def left_in(folder: Path, record: Record) -> bool:
    """Whether anything is left of the way to a record."""
    unfinished = folder / UNFINISHED_FOLDER
    ways = [
        State(folder).path,
        folder / LOCK_FILE,
        *(unfinished_file(unfinished, name) for name in record.evaluation.attacks),
    ]
    if any(path.exists() for path in ways):
        return True
    try:
        return any(TEMPORARY.search(path.name) for place in (folder, unfinished) for path in place.glob("*"))
    except OSError:
        return False


def check_weights(path: Path, sha256: str) -> None:
    """Refuse to record a network whose weights are not there any more.

    Raises:
        DfrdBenchError: the file is gone, or another.
    """
    from dfrd_bench.records.weights import sha256_of

    if sha256_of(path) != sha256:
        raise DfrdBenchError(f"{path} is not what was trained: something else wrote it. Run the same command again.")
