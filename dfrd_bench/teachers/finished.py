"""Teachers that were students: the network of a finished run, `run:FOLDER`."""

from __future__ import annotations

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.problem import DatasetInfo
from dfrd_bench.records.files import expanded
from dfrd_bench.records.nearest import meant_instead
from dfrd_bench.records.store import RECORD_FILE, WEIGHTS_FILE, load_record
from dfrd_bench.teachers.base import Loaded, TeacherSource
from dfrd_bench.teachers.checkpoint import load_file


def _load(argument: str, info: DatasetInfo, _architecture: str | None) -> Loaded:
    if not argument:
        raise DfrdBenchError("Name the folder of a finished run: run:FOLDER.")
    folder = expanded(argument)
    if not (folder / RECORD_FILE).is_file():
        raise DfrdBenchError(
            f"{argument} is not the folder of a finished run: it has no {RECORD_FILE}.{meant_instead(folder)}"
        )
    record = load_record(folder)
    known = record.dataset.info
    if (known.shape, known.class_names) != (info.shape, info.class_names):
        raise DfrdBenchError(f"{argument} was trained on {known.name}, not on {info.name}.")
    loaded = load_file(folder / WEIGHTS_FILE, info, record.spec.student)
    if loaded.sha256 != record.weights_sha256:
        raise DfrdBenchError(f"{folder / WEIGHTS_FILE} is not the network that its {RECORD_FILE} describes.")
    return loaded


finished_run = TeacherSource(
    summary="the network of a finished run: run:FOLDER, e.g. of `run --method natural`", load=_load, takes_argument=True
)
