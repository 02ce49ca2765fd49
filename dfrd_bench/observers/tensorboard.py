"""The observer `tensorboard`: a run's numbers over its epochs, and what it withstands, as TensorBoard reads them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.observer import Observer
from dfrd_bench.observers.base import Logger
from dfrd_bench.records.files import check_writable, expanded, unwritable
from dfrd_bench.records.schema import METRICS
from dfrd_bench.records.store import TENSORBOARD_FOLDER, load_record

MISSING = (
    "The observer tensorboard needs TensorBoard, which is not installed here: pip install 'dfrd-bench[tensorboard]'."
)


class Board:
    """Writes event files into a folder; into one in the run's folder where no other was named."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.writer: Any = None

    def observer(self) -> Observer:
        return Observer(on_start=self.start, on_epoch=self.epoch, on_record=self.record)

    def start(self, folder: Path, epochs: int, done: int) -> None:
        self._begin(folder, purge_step=done + 1)  # of an epoch that a stop cost, the later line counts

    def epoch(self, epoch: int, numbers: dict[str, float]) -> None:
        for name, value in numbers.items():
            self.writer.add_scalar(name if "/" in name else f"training/{name}", value, epoch + 1)
        self.writer.flush()

    def record(self, folder: Path) -> None:
        self._begin(folder)
        record = load_record(folder)
        step = record.training.epochs if record.training else 0
        for name, result in record.evaluation.attacks.items():
            for metric in METRICS:
                if (value := getattr(result, metric)) is not None:
                    self.writer.add_scalar(f"{name}/{metric}", value, step)
        self.writer.add_scalar("all/worst_case", record.evaluation.worst_case, step)
        self.writer.flush()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()

    def _begin(self, folder: Path, purge_step: int | None = None) -> None:
        if self.writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(self.folder or folder / TENSORBOARD_FOLDER), purge_step=purge_step)


@contextmanager
def _open(where: str) -> Iterator[Observer]:
    if find_spec("tensorboard") is None:
        raise DfrdBenchError(MISSING)
    folder = expanded(where) if where else None
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(folder, error) from error
        check_writable(folder / TENSORBOARD_FOLDER)  # as any file in it
    board = Board(folder)
    try:
        yield board.observer()
    finally:
        board.close()


tensorboard = Logger(
    summary="TensorBoard's event files: tensorboard=FOLDER, or tensorboard/ in the run's folder (extra [tensorboard])",
    open=_open,
)
