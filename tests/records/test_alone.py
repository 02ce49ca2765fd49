"""One folder, one worker: also where a lock file is removed, left by the dead, of another host, or where no locks are kept."""

from __future__ import annotations

import errno
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tiny

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records import alone as alone_module
from dfrd_bench.records.alone import LOCK_FILE, alone_in

BUSY = "Another process is at work in"


@pytest.fixture
def quick_hearts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hearts that beat every 20 ms."""
    monkeypatch.setattr(alone_module, "BEAT", 0.02)
    monkeypatch.setattr(alone_module, "SILENCE", 0.2)


@pytest.fixture(params=[errno.ENOLCK, errno.EACCES])
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that refuses to lock."""
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> None:
        raise OSError(request.param, "refused")

    monkeypatch.setattr(fcntl, "flock", refuse)


def says(folder: Path, **changes: object) -> None:
    """A lock file that nobody holds."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"host": "elsewhere", "process": 7, "attempt": "a", "beat": 1.0, **changes}
    (folder / LOCK_FILE).write_text(json.dumps(content).ljust(399) + "\n")


@contextmanager
def beating(folder: Path) -> Iterator[None]:
    """A process on another host that is alive, in this folder."""
    done = threading.Event()

    def beat() -> None:
        number = 0
        while not done.wait(0.02):
            with (folder / LOCK_FILE).open("r+") as file:
                file.write(json.dumps({"host": "elsewhere", "process": 7, "attempt": "a", "beat": number}).ljust(399))
            number += 1

    says(folder)
    heart = threading.Thread(target=beat)
    heart.start()
    try:
        yield
    finally:
        done.set()
        heart.join()


def test_the_lock_says_who_works_and_is_gone_afterwards(tmp_path: Path) -> None:
    with alone_in(tmp_path / "run") as alone:
        assert json.loads((tmp_path / "run" / LOCK_FILE).read_text()).items() >= alone.who.items()
        alone.check()
    assert tiny.files_below(tmp_path) == []


def test_a_lock_file_that_is_removed_while_somebody_waits_for_it_lets_nobody_in_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second opens the first one's file, which is unlinked before the second locks it: that lock is worth nothing."""
    locked, first = alone_module._locked, alone_in(tmp_path)
    first.__enter__()
    ended: list[bool] = []

    def late(file: object) -> object:
        if not ended:
            ended.append(True)
            first.__exit__(None, None, None)
        return locked(file)  # type: ignore[arg-type]

    monkeypatch.setattr(alone_module, "_locked", late)
    with alone_in(tmp_path) as second:
        monkeypatch.undo()
        second.check()
        with pytest.raises(DfrdBenchError, match=BUSY), alone_in(tmp_path):
            pytest.fail("two at work")


def test_a_folder_that_was_removed_or_taken_over_is_noticed_and_the_others_lock_stays(tmp_path: Path) -> None:
    folder, away = tmp_path / "run", tmp_path / "away"
    with alone_in(folder) as alone:
        folder.rename(away)
        with pytest.raises(DfrdBenchError, match="was removed, or taken over by another process"):
            alone.check()
        with alone_in(folder) as other:
            with pytest.raises(DfrdBenchError, match="was removed, or taken over by another process"):
                alone.check()
            other.check()


def test_a_lock_file_of_a_killed_process_of_this_host_is_taken_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with alone_in(tmp_path) as alone:
        content = {**alone.who, "beat": 1.0, "attempt": "b"}
    says(tmp_path, **content)
    with alone_in(tmp_path):
        pass
    assert caplog.text == ""


@pytest.mark.usefixtures("quick_hearts")
def test_a_lock_of_another_host_is_watched_and_taken_when_its_heart_is_silent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    says(tmp_path)
    with alone_in(tmp_path) as alone:
        alone.check()
    assert "Watching for 0 s whether process 7 on elsewhere" in caplog.text


@pytest.mark.usefixtures("quick_hearts")
def test_a_lock_of_another_host_whose_heart_beats_keeps_others_out(tmp_path: Path) -> None:
    with beating(tmp_path), pytest.raises(DfrdBenchError, match=BUSY), alone_in(tmp_path):
        pytest.fail("two at work")


@pytest.mark.usefixtures("quick_hearts", "no_locks")
class TestWithoutLocks:
    def test_it_is_said_and_the_heart_keeps_others_out(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        with alone_in(tmp_path) as first:
            assert "the file system keeps no locks" in caplog.text
            with pytest.raises(DfrdBenchError, match=BUSY), alone_in(tmp_path):
                pytest.fail("two at work")
            first.check()
        assert tiny.files_below(tmp_path) == []

    def test_a_dead_one_is_succeeded(self, tmp_path: Path) -> None:
        says(tmp_path)
        with alone_in(tmp_path) as alone:
            alone.check()

    def test_of_two_that_wrote_at_once_the_earlier_stops(self, tmp_path: Path) -> None:
        with alone_in(tmp_path) as alone:
            alone.stop()
            says(tmp_path, attempt="later")
            with pytest.raises(DfrdBenchError, match="taken over"):
                alone.check()
            alone.beat()
            assert json.loads((tmp_path / LOCK_FILE).read_text())["attempt"] == "later"


def test_what_killed_processes_had_half_written_is_removed_but_not_from_a_place_another_works_in(
    tmp_path: Path,
) -> None:
    for place in ("", "evaluation", "rerun"):
        (tmp_path / place).mkdir(exist_ok=True)
        for name in ("a.npz.0123abcd.tmp", "state.tmp", "a.tmp.npz"):
            (tmp_path / place / name).touch()
    with alone_in(tmp_path / "rerun"), alone_in(tmp_path):
        pass
    assert tiny.files_below(tmp_path) == [
        *("a.tmp.npz", "evaluation/a.tmp.npz", "rerun/a.tmp.npz"),
    ]


@pytest.mark.parametrize("content", [b"", b"\xff" * 400, b"[" * 400, b"[]", b"7", b'{"host": []}'])
def test_whatever_is_in_a_lock_file_it_is_no_traceback(
    tmp_path: Path, content: bytes, quick_hearts: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    (tmp_path / LOCK_FILE).write_bytes(content)
    with alone_in(tmp_path) as alone:
        alone.check()
