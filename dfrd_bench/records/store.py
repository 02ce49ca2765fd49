"""What a finished run leaves behind: the files in its folder, written, read, and found again."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.arrays import packed, read_arrays
from dfrd_bench.records.files import file_name, replace_whole
from dfrd_bench.records.reading import MIB, not_valid, opened, unreadable
from dfrd_bench.records.schema import Predictions, Record
from dfrd_bench.records.tree import find_files
from dfrd_bench.records.versions import NewerError

if TYPE_CHECKING:
    import numpy as np

RECORD_FILE = "record.json"
PREDICTIONS_FILE = "predictions.npz"
WEIGHTS_FILE = "student.safetensors"
LARGEST_RECORD = 96 * MIB  # bytes; 1,000 classes under seven attacks have 70 million
TEACHER_SUFFIX = ".safetensors"  # of the weights of a teacher trained here; its record lies beside them
RECORD_SUFFIX = ".record"
EVENTS_FILE = "events.jsonl"  # what the observers `jsonl` and `tensorboard` write, unless told where
TENSORBOARD_FOLDER = "tensorboard"
UNFINISHED_FOLDER = "evaluation"  # what a stopped evaluation keeps, until the record is there
RERUN_FOLDER = "rerun"  # what a stopped `verify --rerun` keeps, apart from what it is to check


def teacher_folder(weights: Path) -> Path:
    """The folder of a trained teacher's record: X.record beside X.safetensors."""
    return weights.with_suffix(RECORD_SUFFIX)


def save_record(folder: Path, record: Record, predictions: Predictions) -> None:
    """Write predictions and then the record, in a folder that is there, and drop what a stopped evaluation kept of its attacks.

    A folder is a finished run once record.json is there.

    Raises:
        DfrdBenchError: the folder is gone or cannot be written.
    """
    text = json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"
    Record.model_validate_json(text)
    replace_whole(folder / PREDICTIONS_FILE, packed_predictions(predictions))
    replace_whole(folder / RECORD_FILE, text.encode())
    drop_unfinished(folder / UNFINISHED_FOLDER, record.evaluation.attacks)


def packed_predictions(predictions: Predictions) -> bytes:
    """Predictions as the bytes of `predictions.npz`."""
    import numpy as np

    arrays = {f"attack_{name}": values.astype(np.int16) for name, values in predictions.attacks.items()}
    return packed({"labels": predictions.labels.astype(np.int16), **arrays})


def was_interrupted(folder: Path) -> bool:
    """Whether an evaluation in a run's folder ended before its record was written."""
    return (folder / PREDICTIONS_FILE).exists() or (folder / UNFINISHED_FOLDER).exists()


def unfinished_file(folder: Path, attack: str) -> Path:
    """Where a stopped evaluation keeps what it has of an attack."""
    return folder / f"{file_name(attack)}.npz"


def drop_unfinished(folder: Path, attacks: Iterable[str]) -> None:
    """Remove what a stopped evaluation kept of attacks that are done, and the folder if that was all."""
    for attack in attacks:
        unfinished_file(folder, attack).unlink(missing_ok=True)
    with suppress(OSError):  # there is none, or other attacks wait in it
        folder.rmdir()


def load_record(folder: Path) -> Record:
    """Read and validate `record.json` of a run's folder; of an earlier format, as today's.

    Raises:
        DfrdBenchError: there is none, it is not a valid record, or a later dfrd-bench wrote it.
    """
    path = folder / RECORD_FILE
    try:
        with opened(path, LARGEST_RECORD) as file:
            return Record.model_validate_json(file.read())
    except FileNotFoundError as error:
        if path.is_symlink():
            raise DfrdBenchError(f"{path} is a link that leads nowhere: {path.readlink()} is missing.") from error
        stopped = "; an evaluation was interrupted: the command that made it goes on" * was_interrupted(folder)
        raise DfrdBenchError(f"No record in {folder}: {RECORD_FILE} is missing{stopped}.") from error
    except NotADirectoryError as error:
        raise DfrdBenchError(f"{folder} is a file: name the folder of the run.") from error
    except OSError as error:
        raise unreadable(path, error) from error
    except NewerError as error:
        raise DfrdBenchError(f"{path} {error}") from error
    except ValidationError as error:
        raise not_valid(path, "record", error) from error


def load_predictions(folder: Path, attacks: Collection[str] | None = None, *, images: int | None = None) -> Predictions:
    """Read `predictions.npz` of a run's folder, or only what it says about some attacks.

    Args:
        folder: of the run.
        attacks: those that are wanted; all by default.
        images: how many there must be, as the record says; any number when None.

    Raises:
        DfrdBenchError: it is missing or damaged, or holds something else than a class for each image.
    """
    import numpy as np

    def wanted(name: str) -> bool:
        return attacks is None or name.removeprefix("attack_") in attacks

    def expected(_name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
        if len(shape) != 1 or dtype.kind not in "iu":
            return "not one class, a whole number, for each image"
        return (
            "" if images in (None, shape[0]) else f"which does not belong to the record beside it, of {images:,} images"
        )

    read = read_arrays(folder / PREDICTIONS_FILE, "labels", wanted=wanted, expected=expected)
    arrays = {name: values.astype(np.int64) for name, values in read.items()}
    labels = arrays.pop("labels")
    return Predictions(labels, {name.removeprefix("attack_"): values for name, values in arrays.items()})


def find_records(results: Path) -> Iterator[tuple[Path, Record | DfrdBenchError]]:
    """Every run folder below a folder, in order of path, with its record or what is wrong with it; unreadable ones too.

    Raises:
        DfrdBenchError: the folder does not exist.
    """
    if not results.is_dir():
        raise DfrdBenchError(f"There is no results folder {results}.")
    for folder, problem in find_files(results, RECORD_FILE):
        try:
            yield folder, problem or load_record(folder)
        except DfrdBenchError as error:
            yield folder, error
