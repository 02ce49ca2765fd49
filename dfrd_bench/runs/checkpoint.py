"""A training that has not finished: the state of what is trained, its history, and what `state` tells a reader."""

from __future__ import annotations

import io
import json
import logging
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfrd_bench._version import __version__
from dfrd_bench.errors import DfrdBenchError, out_of_memory
from dfrd_bench.records.files import replace_whole, unwritable, write_atomically
from dfrd_bench.records.history import HISTORY_FILE as HISTORY_FILE
from dfrd_bench.records.reading import MIB, read_file, read_text
from dfrd_bench.records.sealed import seal, unsealed
from dfrd_bench.records.versions import CHECKPOINT, VERSION, WRITER, NewerError, migrated_checkpoint

if TYPE_CHECKING:
    import torch

    from dfrd_bench.method import Stateful

log = logging.getLogger(__name__)
LARGEST = 256 * MIB  # bytes of a history
LARGEST_STATE = MIB


@dataclass(frozen=True)
class Checkpoint:
    """The last saved state of a method or of a teacher's training, in one file that is replaced atomically; and the one before.

    Both carry their sha256: a file that is not as it was written is not gone on with.

    Attributes:
        folder: where.
        images: digest of the training images, where what is trained sees them.
    """

    folder: Path
    images: str | None = None

    @property
    def path(self) -> Path:
        """The last one's file."""
        return self.folder / "method.pt"

    @property
    def previous(self) -> Path:
        """The file of the one before, for when the last one is damaged."""
        return self.folder / "previous.pt"

    @property
    def exists(self) -> bool:
        """Whether there is one."""
        return self.path.exists() or self.previous.exists()

    def save(
        self,
        trainee: Stateful,
        device: torch.device,
        epochs_done: int,
        seconds: float,
        peak: int,
        **parts: Stateful,
    ) -> None:
        """Keep a state that lives on a device after an epoch, with the training time, the peak memory (bytes), and other parts
        by name, such as the history so far.

        Raises:
            DfrdBenchError: it cannot be written; the last one is still there.
        """
        import torch

        buffer = io.BytesIO()
        content = {
            VERSION: CHECKPOINT,
            WRITER: __version__,
            "method": trainee.state_dict(),
            "epochs_done": epochs_done,
            "seconds": seconds,
            "peak": peak,
            "device": device.type,
            "images": self.images,
            **{name: part.state_dict() for name, part in parts.items()},
        }
        torch.save(content, buffer)
        seal(buffer)
        try:
            self.folder.mkdir(exist_ok=True)  # but not the run's own, if that is gone
        except OSError as error:
            raise unwritable(self.path, error) from error
        replace_whole(self.path, buffer.getbuffer(), keep=self.previous)

    def restore(self, trainee: Stateful, device: torch.device, **parts: Stateful) -> tuple[int, float, int]:
        """Bring the saved state back, on a device; returns epochs done, seconds and peak memory, all 0 without a checkpoint.

        Where the last one is damaged, the one before it is taken, with a warning. Parts go on from those of their names that were
        saved, or from None where the checkpoint is from before they were.

        Raises:
            DfrdBenchError: both are damaged or belong to something else, or were written by a later dfrd-bench, or made with
                other training images, or on a device of another kind, whose random streams cannot be gone on with.
        """
        if not self.exists:
            return 0, 0.0, 0
        content = self._content()
        try:
            content = migrated_checkpoint(content)
            if (made_on := content.get("device", device.type)) != device.type:
                raise DfrdBenchError(
                    f"{self.path} was made on {made_on}: go on with --device {made_on}, or delete {self.folder} to begin again."
                )
            if content.get("images", self.images) != self.images:
                raise DfrdBenchError(
                    f"{self.path} was trained on other training images: use another --results folder, or delete {self.folder} "
                    "to begin again."
                )
            trainee.load_state_dict(content["method"])
            for name, part in parts.items():
                part.load_state_dict(content.get(name))
            return int(content["epochs_done"]), float(content["seconds"]), int(content.get("peak", 0))
        except NewerError as error:
            raise DfrdBenchError(f"{self.path} {error}") from error
        except DfrdBenchError:
            raise
        except Exception as error:  # a damaged pickle raises nearly anything
            if out_of_memory(error):
                raise
            raise self._unusable() from error

    def _content(self) -> dict[str, Any]:
        """What the last one holds that is whole."""
        import torch

        missing: Exception | None = None
        for path in (self.path, self.previous):
            try:
                # on the CPU: the trainee copies it to its own device
                content = dict(torch.load(io.BytesIO(unsealed(path)), map_location="cpu", weights_only=True))
            except Exception as error:  # a damaged pickle raises nearly anything
                if out_of_memory(error):
                    raise
                missing = error
                continue
            if path == self.previous:
                log.warning("%s is damaged or missing: going on from the checkpoint before it.", self.path)
            return content
        raise self._unusable() from missing

    def _unusable(self) -> DfrdBenchError:
        return DfrdBenchError(
            f"{self.path} is truncated, corrupt, or of another method: delete {self.folder} to begin the run again."
        )


class History:
    """`history.jsonl`: one line per epoch, appended and flushed as the run goes on. The checkpoint holds the lines too.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: list[dict[str, Any]] = []
        self._restored: list[dict[str, Any]] | None = None

    def append(self, numbers: dict[str, Any]) -> None:
        """Add one epoch's line; what is no finite number becomes null, as JSON has no other.

        Raises:
            DfrdBenchError: it cannot be written.
        """
        self._lines.append(numbers)
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_line(numbers))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise unwritable(self.path, error) from error

    def truncate(self, epochs: int) -> list[dict[str, Any]]:
        """Drop the lines of epochs that are about to be run (again); returns those that stay, the checkpoint's if it has them."""
        kept: list[dict[str, Any]] = []
        if self.path.exists():
            lines = read_file(self.path, LARGEST).decode("utf-8", "replace").splitlines()[:epochs]
            kept = [numbers for line in lines if (numbers := _numbers(line)) is not None]
            if len(kept) < len(lines):
                log.warning("%s: dropped %d lines that are damaged.", self.path, len(lines) - len(kept))
        if self._restored is not None and kept != self._restored[:epochs]:
            kept = self._restored[:epochs]
            log.warning("%s was not what was written: it is made again from the checkpoint.", self.path)
        write_atomically(self.path, "".join(map(_line, kept)).encode())
        self._lines = [*kept]
        return kept

    def state_dict(self) -> str:
        """The lines, for a checkpoint."""
        return "".join(map(_line, self._lines))

    def load_state_dict(self, state: str | None) -> None:
        """The lines in a checkpoint; None where it is from before it held them."""
        self._restored = None if state is None else [json.loads(line) for line in state.splitlines()]


def _numbers(line: str) -> dict[str, Any] | None:
    """What a line says; None if it is damaged."""
    try:
        found = json.loads(line)
        _line(found)  # an infinity deep inside it cannot be written again
    except (AttributeError, ValueError, RecursionError):
        return None
    return dict(found)


def _line(numbers: Mapping[str, Any]) -> str:
    finite = {k: v if not isinstance(v, float) or math.isfinite(v) else None for k, v in numbers.items()}
    return json.dumps(finite, allow_nan=False) + "\n"


@dataclass(frozen=True)
class State:
    """The file `state` of an unfinished run: what stage it is in, for people and launchers to look at."""

    folder: Path

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / "state"

    def write(self, stage: str, **details: Any) -> None:
        """Say what the run is doing."""
        content = {"stage": stage, "process": os.getpid(), **details}
        replace_whole(self.path, (json.dumps(content) + "\n").encode())

    def read(self) -> dict[str, Any]:
        """What was said last; empty where nothing was, or nothing that can be read."""
        try:
            found = json.loads(read_text(self.path, LARGEST_STATE))
        except (DfrdBenchError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def clear(self) -> None:
        """The run is finished."""
        self.path.unlink(missing_ok=True)
