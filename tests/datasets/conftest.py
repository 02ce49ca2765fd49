"""A home on this machine from which datasets are downloaded, and an empty cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import homes
import pytest


@pytest.fixture(scope="module")
def server() -> Iterator[homes.Home]:
    with homes.serving() as home:
        yield home


@pytest.fixture
def home(server: homes.Home) -> homes.Home:
    server.files.clear()
    server.asked.clear()
    server.cut = None
    return server


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, not there yet."""
    monkeypatch.setenv("DFRD_BENCH_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"
