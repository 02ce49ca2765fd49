"""A task of a Slurm array, with workers that only seem to run and a scontrol that only notes what it is told."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from dfrd_bench.cli.task import task
from dfrd_bench.execution import attempts
from dfrd_bench.execution.jobs import jobs_of, read_outcome, write_request
from dfrd_bench.execution.status import Standing
from dfrd_bench.runs.request import Request

WORKER = """
import json, pathlib, signal, sys, time
request = pathlib.Path(sys.argv[sys.argv.index("--config") + 1])
seed = json.loads(request.read_text()).get("seed", 0)
if seed == 1:
    signal.signal(signal.SIGUSR1, lambda *_: sys.exit(138))
    (request.parent / "begun").touch()
    time.sleep(120)
elif seed == 2:
    sys.exit("Error: Memory ran out on cpu in epoch 1.")
elif seed == 3:
    sys.exit("Error: Another process is at work in there: wait for it, or stop it.")
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals")


@pytest.fixture(autouse=True)
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pretending.py").write_text(WORKER)
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/told\n')
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "17")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.setattr(attempts, "WORKER", "pretending")
    monkeypatch.setattr(attempts, "standing", lambda request: Standing(request, "done", tmp_path))


def request_file(tmp_path: Path, seed: int) -> Path:
    (job,) = jobs_of([Request(method="zskt", seed=seed, results=str(tmp_path / "results"))])
    write_request(job)
    return job.folder / "request.json"


@pytest.mark.parametrize(
    ("seed", "code", "outcome", "why"),
    [(0, 0, "finished", ""), (2, 1, "failed", "Memory ran out on cpu in epoch 1."), (3, 0, "running", "")],
)
def test_how_a_task_ended_is_there_for_status_and_for_slurm(
    tmp_path: Path, seed: int, code: int, outcome: str, why: str
) -> None:
    """Of a run that another process makes, how it stands is that one's to say."""
    file = request_file(tmp_path, seed)
    assert task(file) == code
    found = read_outcome(file.parent)
    assert found is not None
    assert (found.outcome, found.why, found.where) == (outcome, why, "Slurm job 17_3")
    assert not (tmp_path / "told").exists()


@pytest.mark.parametrize(("number", "told"), [(signal.SIGUSR1, "requeue 17_3\n"), (signal.SIGTERM, "")])
def test_a_warning_before_the_time_limit_queues_a_task_again_and_an_end_does_not(
    tmp_path: Path, number: signal.Signals, told: str
) -> None:
    file = request_file(tmp_path, 1)

    def warn() -> None:
        until = time.monotonic() + 60
        while not (file.parent / "begun").exists() and time.monotonic() < until:
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    threading.Thread(target=warn).start()
    assert task(file) == 128 + number
    found = read_outcome(file.parent)
    assert found is not None
    assert found.outcome == "stopped"
    assert ((tmp_path / "told").read_text() if told else "") == told
    assert told or not (tmp_path / "told").exists()
