"""Puts a site into a folder, or a single file: whole, beside nothing of anybody else's, without what an earlier one left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.files import temporary, unwritable
from dfrd_bench.records.reading import MIB, read_text
from dfrd_bench.reporting.site.index_file import FORMAT

INDEX_FILE = "index.json"
LARGEST_INDEX = 512 * MIB


def check_folder(folder: Path) -> list[str]:
    """Refuse to write a site among somebody's own files.

    Returns:
        The files of the earlier site in the folder.

    Raises:
        DfrdBenchError: it is a file, or holds something and no report.
    """
    if folder.is_file():
        raise DfrdBenchError(f"{folder} is a file: name a folder for the site, or add --single-file.")
    if not folder.is_dir() or not any(folder.iterdir()):
        return []
    found = _read(folder / INDEX_FILE)
    if found.get("format") != FORMAT:
        raise DfrdBenchError(f"{folder} holds other files and no earlier report: name an empty or a new folder.")
    files = found.get("files")
    return [name for name in files if isinstance(name, str) and _is_below(name)] if isinstance(files, list) else []


def write_site(folder: Path, files: Iterable[tuple[str, str]], index: dict[str, Any], before: Iterable[str]) -> None:
    """Write all files, first into a folder beside, and then put each in its place; the index comes last.

    Args:
        folder: where the site goes.
        files: (name, text) of each.
        index: see `index_file`; its files are those.
        before: of the site that was there, see `check_folder`; what the new one has no more is removed.

    Raises:
        DfrdBenchError: the folder cannot be written.
    """
    stage = temporary(folder.resolve())
    try:
        names = []
        for name, text in files:
            names.append(name)
            _put(stage / name, text)
        _put(stage / INDEX_FILE, json.dumps(index, ensure_ascii=False, indent=1, allow_nan=False) + "\n")
        for name in [*names, INDEX_FILE]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (stage / name).replace(folder / name)
    except OSError as error:
        raise unwritable(folder, error) from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    for name in set(before) - {*names, INDEX_FILE}:
        with suppress(OSError):
            (folder / name).unlink(missing_ok=True)


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="replace")


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_text(path, LARGEST_INDEX))
    except (DfrdBenchError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_below(name: str) -> bool:
    """Whether a name leads into the site's folder and nowhere else."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and path.suffix in (".html", ".js", ".css")
