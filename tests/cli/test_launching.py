"""What a launcher tells becomes lines: each thing once, failures with their log, and folders alone on stdout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dfrd_bench.cli import launching
from dfrd_bench.cli.launching import Launched, means_of
from dfrd_bench.execution.protocol import Event, Failed, Finished, Job, Means, Notice, Started, Turn, Waiting
from dfrd_bench.execution.status import Standing
from dfrd_bench.runs.request import Request


def story(tmp_path: Path) -> Iterator[Event]:
    request = Request(method="zskt", results=str(tmp_path))
    jobs = [Job(n, replace(request, seed=n), tmp_path / str(n)) for n in (1, 2, 3)]
    yield Finished(jobs[0], tmp_path / "one", cached=True)
    yield Notice("9 jobs do not fit.")
    yield Started(jobs[1], "GPU 0", 12)
    yield Waiting(jobs[2], "process 7 on b")
    yield Waiting(jobs[2], "process 7 on b")
    yield Turn()
    yield Failed(jobs[1], "a\nb\x1b[2J")
    yield Finished(jobs[2], tmp_path / "three")


def test_everything_is_said_once_and_folders_alone_are_on_stdout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = Launched(3, quiet=False)
    told.follow(story(tmp_path))
    out, err = capsys.readouterr()
    assert out.splitlines() == [str(tmp_path / "one"), str(tmp_path / "three")]
    assert err.splitlines() == [
        "[1/3] zskt seed=1: recorded already; 1 of 3 done",
        "9 jobs do not fit.",
        "[2/3] zskt seed=2: started on GPU 0",
        "[3/3] zskt seed=3: process 7 on b is making it",
        rf"Error: zskt seed=2: a\nb\x1b[2J (log: {tmp_path}/2/log)",
        "[3/3] zskt seed=3: finished; 2 of 3 done, 1 failed",
    ]
    assert told.failed == [r"zskt seed=2: a\nb\x1b[2J"]


def test_quiet_leaves_failures_and_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Launched(3, quiet=True).follow(story(tmp_path))
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert [line.split(":")[0] for line in err.splitlines()] == ["9 jobs do not fit.", "Error"]


def test_runs_that_go_on_are_told_of_now_and_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "PLAIN_SECONDS", 0.0)
    monkeypatch.setattr(launching, "since", lambda began: "0 s")
    job = Job(1, Request(method="zskt", results=str(tmp_path)), tmp_path / "1")
    Launched(1, quiet=False).follow([Started(job, "1 thread"), Turn()])
    assert capsys.readouterr().err.splitlines()[1:] == ["zskt seed=0: starting, 0 s"] * 2


def test_a_run_whose_record_is_there_does_not_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launching, "PLAIN_SECONDS", 0.0)
    monkeypatch.setattr("dfrd_bench.execution.status.standing", lambda request: Standing(request, "done"))
    job = Job(1, Request(method="zskt", results=str(tmp_path)), tmp_path / "1")
    Launched(1, quiet=False).follow([Started(job, "1 thread"), Turn()])
    assert capsys.readouterr().err.splitlines()[1:] == ["zskt seed=0: finishing"] * 2


def test_what_may_be_used_is_what_the_system_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching.threads, "processors", lambda: 8)
    monkeypatch.setattr(launching.threads, "processor_share", lambda *_: 2.5)
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert means_of(4, 0.5, False) == Means(4, 0.5, cores=3, threads=None, most_threads=None)
    monkeypatch.setattr(launching.threads, "processor_share", lambda *_: float("inf"))
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert means_of(None, 1.0, False) == Means(None, 1.0, cores=8, threads=None, most_threads=2)
    assert means_of(None, 1.0, True) == Means(None, 1.0, cores=8, threads=2, most_threads=2)
