"""How a run stands is read from the files that it leaves, made here by hand or by those who leave them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tiny

from dfrd_bench.execution.jobs import jobs_of, write_outcome
from dfrd_bench.execution.status import standing
from dfrd_bench.records.alone import LENGTH, LOCK_FILE, SILENCE, alone_in
from dfrd_bench.records.presence import at_work
from dfrd_bench.records.schema import ExperimentSpec
from dfrd_bench.records.store import load_record
from dfrd_bench.runs.checkpoint import State
from dfrd_bench.runs.preparation import prepare
from dfrd_bench.runs.request import Request

EPOCHS = 10


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    settings = {"batch_size": 8, "distillation_steps": 2, "attack_steps": 2}
    return Request(
        method="zskt", epochs=EPOCHS, settings=settings, device="cpu", attacks=("clean",), results=str(tmp_path)
    )


@pytest.fixture
def spec(request_: Request) -> ExperimentSpec:
    return prepare(request_).spec


@pytest.fixture
def folder(request_: Request, spec: ExperimentSpec, tmp_path: Path) -> Path:
    """Of a run that was begun and has trained 4 epochs, of 3, 3, 3 and 9 seconds; the last ended 2 seconds ago."""
    path = spec.folder(tmp_path)
    path.mkdir(parents=True)
    State(path).write("training", spec=spec.model_dump(mode="json"))
    history = path / "history.jsonl"
    history.write_text("".join(json.dumps({"epoch": n, "seconds": s}) + "\n" for n, s in enumerate((3, 3, 3, 9))))
    os.utime(history, (time.time() - 2,) * 2)
    os.utime(State(path).path, (time.time() - 30,) * 2)
    return path


def lock(folder: Path, **other: Any) -> None:
    """What a worker that beat just now leaves when it is killed."""
    said = {"host": socket.gethostname(), "process": os.getpid(), "attempt": "a", "beat": time.time(), **other}
    (folder / LOCK_FILE).write_bytes(json.dumps(said).encode().ljust(LENGTH))


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_nothing_there_is_missing(request_: Request) -> None:
    assert standing(request_).stage == "missing"


def test_a_run_at_work_says_where_how_far_and_how_long_at_its_own_speed(request_: Request, folder: Path) -> None:
    with alone_in(folder):
        found = standing(request_)
    assert (found.stage, found.folder, found.part) == ("running", folder, "training")
    assert found.where == f"process {os.getpid()} on {socket.gethostname()}"
    assert (found.epoch, found.epochs) == (4, EPOCHS)
    assert found.left is not None
    assert found.left == pytest.approx(6 * 3 - 2, abs=1.5)  # the median, and what of it has gone by


def test_a_run_that_nobody_works_on_is_stopped(request_: Request, folder: Path) -> None:
    found = standing(request_)
    assert (found.stage, found.epoch, found.epochs, found.left, found.where) == ("stopped", 4, EPOCHS, None, "")


@pytest.mark.parametrize(
    ("said", "alive"),
    [
        ({}, True),
        ({"beat": time.time() - 1e6}, False),  # the number is another process's by now
        ({"host": "elsewhere"}, True),
        ({"host": "elsewhere", "beat": time.time() - 10 * SILENCE}, False),
        ({"process": "x"}, False),
        ({"process": 10**30}, False),
    ],
)
def test_a_lock_that_was_left_behind_is_told_from_one_that_is_held(
    folder: Path, request_: Request, said: dict[str, Any], alive: bool
) -> None:
    lock(folder, **said)
    assert (at_work(folder) is not None) == alive
    assert standing(request_).stage == ("running" if alive else "stopped")


def test_a_worker_of_this_host_that_has_ended_is_not_at_work(folder: Path) -> None:
    lock(folder, process=ended_process())
    assert at_work(folder) is None


def test_looking_at_a_lock_does_not_take_it(folder: Path) -> None:
    with alone_in(folder):
        before = (folder / LOCK_FILE).read_bytes()
        assert at_work(folder)
        assert (folder / LOCK_FILE).read_bytes()[:60] == before[:60]
    with alone_in(folder):
        pass


def test_a_failure_is_told_until_the_run_is_begun_again(request_: Request, folder: Path) -> None:
    (job,) = jobs_of([request_])
    write_outcome(job, "failed", why="Memory ran out.")
    assert (standing(request_).stage, standing(request_).why) == ("failed", "Memory ran out.")
    os.utime(folder / "history.jsonl", (time.time() + 5,) * 2)
    assert standing(request_).stage == "stopped"


def test_a_failure_before_there_was_a_folder_is_told(request_: Request) -> None:
    (job,) = jobs_of([request_])
    write_outcome(job, "failed", why="No such layer.")
    assert (standing(request_).stage, standing(request_).why) == ("failed", "No such layer.")


def test_a_plugins_failure_is_told_from_its_log(request_: Request, folder: Path) -> None:
    (folder / "error.log").write_text("2026  dfrd-bench  zskt\nTraceback:\n  line\nRuntimeError: boom\n\n")
    assert (standing(request_).stage, standing(request_).why) == ("failed", "RuntimeError: boom")


def test_a_worker_that_is_starting_is_running(request_: Request) -> None:
    (job,) = jobs_of([request_])
    write_outcome(job, "running", where="1 thread", process=os.getpid())
    assert (standing(request_).stage, standing(request_).part) == ("running", "starting")
    write_outcome(job, "running", where="1 thread", process=ended_process())
    assert standing(request_).stage == "missing"


def test_a_plugin_that_raises_when_it_is_asked_about_itself_is_one_failed_row(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hostile(_: Request) -> None:
        raise SystemExit("no more")

    monkeypatch.setattr("dfrd_bench.execution.status.identity_of", hostile)
    assert (standing(request_).stage, standing(request_).why) == ("failed", "SystemExit: no more")


def test_damaged_files_are_no_reason_to_say_nothing(request_: Request, folder: Path) -> None:
    (job,) = jobs_of([request_])
    write_outcome(job, "failed")
    (job.folder / "outcome.json").write_text('{"outcome": []')
    (folder / "history.jsonl").write_bytes(b"\xff\n[1]\n{}\n")
    lock(folder)
    assert (standing(request_).stage, standing(request_).epoch, standing(request_).left) == ("running", 3, None)
    State(folder).path.write_text('{"stage": "training", "spec": 3}')
    assert standing(request_).stage == "missing"  # whose folder it is cannot be known


def test_a_record_is_done_with_the_attacks_that_are_asked_for(
    tmp_path: Path, request_: Request, few_digits: None
) -> None:
    done = tiny.command(
        *("run", "--method", "zskt", "--epochs", "1", "--set", "batch_size=8", "--set", "distillation_steps=2"),
        *("--set", "attack_steps=2", "--attacks", "clean", "--results", tmp_path, "--quiet"),
    )
    assert done.code == 0, done.err
    settings = dict(request_.settings)
    made = Request(method="zskt", epochs=1, settings=settings, attacks=("clean",), results=str(tmp_path))
    found = standing(made)
    assert found.stage == "done"
    assert found.folder is not None
    assert load_record(found.folder).spec.config["epochs"] == 1
    more = Request(method="zskt", epochs=1, settings=settings, attacks=("clean", "fgsm"), results=str(tmp_path))
    assert (standing(more).stage, standing(more).why) == ("stopped", "recorded without fgsm")
    (found.folder / "record.json").write_text("{}")
    assert standing(made).stage == "failed"
    shutil.rmtree(found.folder)
    assert standing(made).stage == "missing"
