"""Walking a tree of folders so that nothing in it is missed in silence."""

from __future__ import annotations

import os
from pathlib import Path

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.reading import unreadable


def find_files(root: Path, name: str) -> list[tuple[Path, DfrdBenchError | None]]:
    """Every entry of a name below a folder, and every folder below that cannot be read.

    Links are followed, and each folder is entered once however many ways lead to it, so that loops end; what a link repeats is
    found where it really is.

    Args:
        root: the folder.
        name: of the files; whatever has it is found, a link that leads nowhere too.

    Returns:
        In order of path: the folder that holds such an entry with None, and a folder or link with what keeps it from being read.
    """
    seen: set[tuple[int, int]] = set()
    found: list[tuple[Path, DfrdBenchError | None]] = []
    folders: list[Path] = [root]
    links: list[Path] = []
    while folders or links:
        folder = folders.pop() if folders else links.pop(0)
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listed:
                entries = list(listed)
            holds = any(entry.name == name for entry in entries)
            if holds:
                found.append((folder, None))
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                elif entry.is_symlink() and entry.name != name and _may_hide(entry.path, beside=holds):
                    links.append(Path(entry.path))
        except OSError as error:
            found.append((folder, unreadable(folder, error)))
        if not folders:
            links.sort()
    return sorted(found, key=lambda pair: pair[0] / name)


def _may_hide(link: str, *, beside: bool) -> bool:
    """Whether a link is to a folder, or leads nowhere and could be to one; beside a record, it is to a file of that run."""
    return os.path.isdir(link) or not (beside or os.path.exists(link))  # noqa: PTH110, PTH112  (a Path would raise at a loop)
