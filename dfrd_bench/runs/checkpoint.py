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

from dfrd_bench.errors import DfrdBenchError, out_of_memory
from dfrd_bench.records.files import unwritable, write_atomically
from dfrd_bench.records.reading import MIB, read_file

if TYPE_CHECKING:
    import torch

    from dfrd_bench.method import Stateful

log = logging.getLogger(__name__)
LARGEST = 256 * MIB  # bytes of a history


@dataclass(frozen=True)
class Checkpoint:
    """The last saved state of a method or of a teacher's training, in one file that is replaced atomically."""

    folder: Path

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / "method.pt"

    def save(
        self,
        trainee: Stateful,
        device: torch.device,
        epochs_done: int,
        seconds: float,
        peak: int,
        passes: Stateful | None = None,
    ) -> None:
        """Keep a state that lives on a device after an epoch, with the training time, the peak memory (bytes) and the passes
        through its networks so far.
        """
        import torch

        buffer = io.BytesIO()
        content = {
            "method": trainee.state_dict(),
            "epochs_done": epochs_done,
            "seconds": seconds,
            "peak": peak,
            "device": device.type,
            "passes": None if passes is None else passes.state_dict(),
        }
        torch.save(content, buffer)
        write_atomically(self.path, buffer.getbuffer())

    def restore(
        self, trainee: Stateful, device: torch.device, passes: Stateful | None = None
    ) -> tuple[int, float, int]:
        """Bring the saved state back, on a device; returns epochs done, seconds and peak memory, all 0 without a checkpoint.

        Passes go on from those that were saved, or from None where the checkpoint is from before they were.

        Raises:
            DfrdBenchError: the file is damaged, belongs to something else, or was made on a device of another kind, whose random
                streams cannot be gone on with.
        """
        import torch

        if not self.path.exists():
            return 0, 0.0, 0
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)  # the trainee copies it to its own
            if (made_on := content.get("device", device.type)) != device.type:
                raise DfrdBenchError(
                    f"{self.path} was made on {made_on}: go on with --device {made_on}, or delete {self.folder} to begin again."
                )
            trainee.load_state_dict(content["method"])
            if passes is not None:
                passes.load_state_dict(content.get("passes"))
            return int(content["epochs_done"]), float(content["seconds"]), int(content.get("peak", 0))
        except DfrdBenchError:
            raise
        except Exception as error:  # a damaged pickle raises nearly anything
            if out_of_memory(error):
                raise
            raise DfrdBenchError(
                f"{self.path} is truncated, corrupt, or of another method: delete {self.folder} to begin the run again."
            ) from error


@dataclass(frozen=True)
class History:
    """`history.jsonl`: one line per epoch, appended as the run goes on."""

    path: Path

    def append(self, numbers: dict[str, Any]) -> None:
        """Add one epoch's line; what is no finite number becomes null, as JSON has no other.

        Raises:
            DfrdBenchError: it cannot be written.
        """
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_line(numbers))
        except OSError as error:
            raise unwritable(self.path, error) from error

    def truncate(self, epochs: int) -> list[dict[str, Any]]:
        """Drop the lines of epochs that are about to be run (again); returns those that stay."""
        kept: list[dict[str, Any]] = []
        if self.path.exists():
            lines = read_file(self.path, LARGEST).decode("utf-8", "replace").splitlines()[:epochs]
            kept = [numbers for line in lines if (numbers := _numbers(line)) is not None]
            if len(kept) < len(lines):
                log.warning("%s: dropped %d lines that are damaged.", self.path, len(lines) - len(kept))
        write_atomically(self.path, "".join(map(_line, kept)).encode())
        return kept


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

    def write(self, stage: str, **details: Any) -> None:
        """Say what the run is doing."""
        content = {"stage": stage, "process": os.getpid(), **details}
        write_atomically(self.folder / "state", (json.dumps(content) + "\n").encode())

    def read(self) -> dict[str, Any]:
        """What was said last; empty where nothing was, or nothing that can be read."""
        try:
            return dict(json.loads((self.folder / "state").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def clear(self) -> None:
        """The run is finished."""
        (self.folder / "state").unlink(missing_ok=True)
