"""The checkpoint files of RobustBench's models: where they lie, fetching them once, and telling weights from web pages."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import redirect_stderr
from pathlib import Path

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.files import expanded, home
from dfrd_bench.records.weights import check_safe
from dfrd_bench.teachers.robustbench_zoo import ZooModel

FOLDER_VARIABLE = "DFRD_BENCH_MODELS"
HEAD = 512  # bytes; enough to tell what a file is


def models_folder() -> Path:
    """Where weights are kept, in RobustBench's own layout: $DFRD_BENCH_MODELS, else `dfrd-bench/models` in the user's cache."""
    if chosen := os.environ.get(FOLDER_VARIABLE):
        return expanded(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or home() / ".cache") / "dfrd-bench" / "models"


def paths(model: ZooModel) -> list[Path]:
    """The model's files, of which an ensemble has several: `<models>/cifar10/Linf/<name>.pt`."""
    path = models_folder() / model.dataset / "Linf" / f"{model.name}.pt"
    if len(model.drive_ids) == 1:
        return [path]
    return [path.with_name(f"{path.name}_m{number}.pt") for number in range(len(model.drive_ids))]


def obtain(model: ZooModel) -> list[Path]:
    """The model's files, each fetched from Google Drive if it is not there; without a network where it is.

    Raises:
        DfrdBenchError: a file cannot be fetched, or what is there is a web page (which is then removed), cut, or no weights.
    """
    files = paths(model)
    for path, drive_id in zip(files, model.drive_ids, strict=True):
        if not path.is_file():
            fetch(drive_id, path)
        elif is_page(path):
            path.unlink()
            raise _page(drive_id, path)
        else:
            try:
                check_safe(path)
            except DfrdBenchError as error:
                hint = f"Delete it, and the same command downloads it. {by_hand(drive_id, path)}"
                raise DfrdBenchError(f"{error} {hint}") from error
    return files


def fetch(drive_id: str, path: Path) -> None:
    """Download a file; under its name there is only ever the whole one.

    Raises:
        DfrdBenchError: it cannot be fetched or written, or something else or a part of it came; nothing is left of it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".download-") as folder:
            part = Path(folder) / path.name
            download(drive_id, part)
            if is_page(part):
                raise _page(drive_id, path)
            try:
                check_safe(part)
            except DfrdBenchError as error:
                raise DfrdBenchError(
                    f"What Google Drive sent for {path.name} is not all of it, or no weights, and has been removed. Try again. "
                    f"{by_hand(drive_id, path)}"
                ) from error
            part.replace(path)
    except DfrdBenchError:
        raise
    except Exception as error:  # gdown and requests raise many types
        reason = " ".join(str(error).split())[:160].rstrip(".") or type(error).__name__
        raise DfrdBenchError(f"Cannot download {path.name}: {reason}. {by_hand(drive_id, path)}") from error


def download(drive_id: str, path: Path) -> None:
    """Let gdown fetch a file from Google Drive; it shows its progress where somebody watches."""
    import gdown

    with redirect_stderr(sys.__stderr__):  # its progress moves the cursor
        gdown.download(id=drive_id, output=str(path), quiet=not sys.stderr.isatty())


def is_page(path: Path) -> bool:
    """Whether a file is a web page, such as Google Drive sends when too many people want a file."""
    with path.open("rb") as file:
        return file.read(HEAD).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")


def by_hand(drive_id: str, path: Path) -> str:
    """What to do without a download."""
    return f"By hand: save https://drive.google.com/uc?id={drive_id} as {path}"


def _page(drive_id: str, path: Path) -> DfrdBenchError:
    return DfrdBenchError(
        f"What Google Drive sent for {path.name} is a web page, not weights, and has been removed. Try again later. "
        f"{by_hand(drive_id, path)}"
    )
