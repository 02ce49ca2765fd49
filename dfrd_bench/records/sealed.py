"""Files that carry the sha256 of their own content at their end, so that one flipped bit is noticed."""

from __future__ import annotations

import hashlib
import io
import logging
from pathlib import Path

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.reading import opened, unreadable

log = logging.getLogger(__name__)

MARK = b"\nsha256 "
SEAL = len(MARK) + 64  # bytes of a seal: the mark and 64 hexadecimal digits


def seal(content: io.BytesIO) -> None:
    """Write a seal behind a content."""
    digest = hashlib.sha256(content.getbuffer()).hexdigest()
    content.seek(0, io.SEEK_END)
    content.write(MARK + digest.encode())


def unsealed(path: Path) -> bytes:
    """What is in a sealed file, without the seal; a file that has none, as earlier checkpoints have none, as it is.

    Raises:
        DfrdBenchError: it cannot be read, or is not what was written.
    """
    try:
        with opened(path) as file:
            data = file.read()
    except OSError as error:
        raise unreadable(path, error) from error
    content, mark, digest = data[:-SEAL], data[-SEAL:-64], data[-64:]
    if mark != MARK:
        log.warning(
            "%s carries no digest, as older versions wrote none: whether it is as it was written is not known.", path
        )
        return data
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise DfrdBenchError(f"{path} is not what was written: its sha256 differs.")
    return content
