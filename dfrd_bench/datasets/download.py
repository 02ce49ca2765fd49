"""Files from a dataset's home: fetched once, checked by their md5, and named when they are not what they should be."""

from __future__ import annotations

import hashlib
import http.client
import os
import sys
import tempfile
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dfrd_bench._version import __version__
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.observer import SILENT, OnStep
from dfrd_bench.records.files import expanded, home
from dfrd_bench.records.reading import chunks

CACHE_VARIABLE = "DFRD_BENCH_DATA"
CHUNK = 1 << 20  # bytes
PATIENCE = 60.0  # seconds without a byte


@dataclass(frozen=True)
class Remote:
    """A file and its home.

    Attributes:
        url: where it is downloaded from.
        name: what it is called here.
        md5: of its content, as its home or torchvision gives it.
    """

    url: str
    name: str
    md5: str

    def by_hand(self, path: Path) -> str:
        """What to do without a download."""
        return f"By hand: download {self.url} and put it at {path} (md5 {self.md5})."


def cache_folder() -> Path:
    """Where downloads are kept: $DFRD_BENCH_DATA, else `dfrd-bench` in the user's cache folder."""
    if chosen := os.environ.get(CACHE_VARIABLE):
        return expanded(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or home() / ".cache"
    return Path(base) / "dfrd-bench"


def md5_of(path: Path) -> str:
    """md5 of a file.

    Raises:
        DfrdBenchError: it cannot be read.
    """
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in chunks(path):
        digest.update(chunk)
    return digest.hexdigest()


def obtain(remote: Remote, data_dir: Path | None, progress: OnStep = SILENT.on_data) -> Path:
    """The file in the user's folder, or in the cache, into which it is downloaded if it is not there.

    Args:
        remote: the file.
        data_dir: the user's folder, in which nothing is downloaded or removed; None for the cache.
        progress: told about the download, in bytes.

    Raises:
        DfrdBenchError: it is not in the user's folder, cannot be downloaded, or is not what it should be. A bad file in the
            cache is removed.
    """
    path = (data_dir or cache_folder()) / remote.name
    if not path.exists():
        if data_dir is not None:
            raise DfrdBenchError(f"There is no {remote.name} in {data_dir}. {remote.by_hand(path)}")
        return download(remote, path, progress)
    if md5_of(path) == remote.md5:
        return path
    if data_dir is not None:
        raise DfrdBenchError(f"{path} is damaged or another file: its md5 is {md5_of(path)}. {remote.by_hand(path)}")
    path.unlink()
    raise DfrdBenchError(
        f"{path} was damaged or another file and has been removed. The same command downloads it again. "
        + remote.by_hand(path)
    )


def download(remote: Remote, path: Path, progress: OnStep = SILENT.on_data) -> Path:
    """Fetch a file; under its name there is only ever the whole one.

    Raises:
        DfrdBenchError: it cannot be fetched or written, or is not the file it should be; nothing of it is left.
    """
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.", suffix=".part", delete=False) as file:
            part = Path(file.name)
            digest, received = _receive(remote, file, progress)
        if digest != remote.md5:
            raise DfrdBenchError(
                f"What {remote.url} sent is not {remote.name}, or not all of it ({received:,} bytes, md5 {digest}); it has been "
                f"removed. Try again. {remote.by_hand(path)}"
            )
        part.chmod(0o644)
        part.replace(path)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = " ".join(str(getattr(error, "reason", None) or error).split()) or type(error).__name__
        raise DfrdBenchError(f"Cannot download {remote.name}: {reason}. {remote.by_hand(path)}") from error
    finally:
        if part is not None:
            with suppress(OSError):
                part.unlink(missing_ok=True)
    return path


def _receive(remote: Remote, file: IO[bytes], progress: OnStep) -> tuple[str, int]:
    """Copy a URL into a file; its md5, and how many bytes it was."""
    digest, received = hashlib.md5(usedforsecurity=False), 0
    request = urllib.request.Request(remote.url, headers={"User-Agent": f"dfrd-bench/{__version__}"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        length = int(answer.headers.get("Content-Length") or 0)
        while chunk := answer.read(CHUNK):
            file.write(chunk)
            digest.update(chunk)
            received += len(chunk)
            progress(f"downloading {remote.name}", received, max(length, received))
    return digest.hexdigest(), received
