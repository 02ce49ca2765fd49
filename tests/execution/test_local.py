"""The launcher of one machine, with workers that misbehave in every way: each is one failed row, and none is left behind."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from stand_ins import stand_in

from dfrd_bench.execution import attempts, waitlist
from dfrd_bench.execution.jobs import jobs_of, write_request
from dfrd_bench.execution.local import local
from dfrd_bench.execution.protocol import Event, Failed, Finished, Job, Means, Notice, Started, Turn, Waiting
from dfrd_bench.observer import Stops
from dfrd_bench.runs.request import Request

MEANS = Means(jobs=2, cores=2)
WORKER = """
import json, os, pathlib, signal, sys, time
request = pathlib.Path(sys.argv[sys.argv.index("--config") + 1])
seed = json.loads(request.read_text()).get("seed", 0)
if seed == 0:
    print("threads", os.environ["OMP_NUM_THREADS"], flush=True)
    (request.parent / "made").touch()
elif seed == 1:
    os.kill(os.getpid(), signal.SIGKILL)
elif seed == 2:
    print("Error: Memory ran out on cpu in epoch 1.", file=sys.stderr)
    sys.exit(2)
elif seed == 3:
    os._exit(0)
elif seed == 4:
    sys.exit(7)
elif seed == 5:
    os.kill(os.getpid(), signal.SIGTERM)
elif seed == 6 and not (request.parent / "refused").exists():
    (request.parent / "refused").touch()
    print("Error: Another process is at work in there: wait for it, or stop it.", file=sys.stderr)
    sys.exit(2)
elif seed == 6:
    (request.parent / "made").touch()
elif seed in (8, 9):
    if seed == 9:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    (request.parent / "begun").touch()
    time.sleep(120)
elif seed == 10:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.kill(os.getpid(), signal.SIGTERM)
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals")


@pytest.fixture(autouse=True)
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Workers that do by their seed what has to be survived, without PyTorch; a run is done where a file says so."""
    stand_in(monkeypatch, tmp_path, "misbehaving", WORKER)
    monkeypatch.setattr(waitlist, "AGAIN", 0.0)
    yield
    assert not [child for child in psutil.Process().children() if "misbehaving" in " ".join(child.cmdline())]


def jobs(tmp_path: Path, *seeds: int) -> list[Job]:
    request = Request(method="zskt", device="cpu", results=str(tmp_path / "results"))
    found = jobs_of([replace(request, seed=seed) for seed in seeds])
    for job in found:
        write_request(job)
    return found


def told(events: Iterator[Event]) -> list[Event]:
    return [event for event in events if not isinstance(event, Turn)]


def test_however_a_worker_ends_it_is_one_row_and_the_others_go_on(tmp_path: Path) -> None:
    wanted = jobs(tmp_path, 1, 2, 3, 4, 5, 10, 0)
    events = told(local.launch(wanted, MEANS, Stops()))
    ended = {event.job.request.seed: event for event in events if isinstance(event, (Failed, Finished))}
    assert {seed: end.why for seed, end in ended.items() if isinstance(end, Failed)} == {
        1: "It was killed by SIGKILL (where the system's memory ran out, it does that).",
        2: "Memory ran out on cpu in epoch 1.",
        3: "It ended without a record.",
        4: "It ended with exit code 7, and said nothing.",
        5: "It was killed by SIGTERM.",
        10: "It was stopped by SIGTERM from outside. The same command goes on from the last checkpoint.",
    }
    assert ended[0] == Finished(wanted[-1], tmp_path)
    assert (wanted[-1].folder / "log").read_text() == "threads 1\n"
    assert sum(isinstance(event, Started) for event in events) == 7


def test_no_more_run_at_once_than_were_asked_for(tmp_path: Path) -> None:
    running, most = 0, 0
    for event in local.launch(jobs(tmp_path, 0, 1, 2, 3, 4), MEANS, Stops()):
        running += isinstance(event, Started) - isinstance(event, (Failed, Finished))
        most = max(most, running)
    assert (running, most) == (0, 2)


def test_a_run_that_somebody_else_makes_is_waited_for_and_did_not_fail(tmp_path: Path) -> None:
    events = told(local.launch(jobs(tmp_path, 6), MEANS, Stops()))
    assert [type(event) for event in events] == [Started, Waiting, Started, Finished]


def test_fewer_places_than_jobs_is_said_first(tmp_path: Path) -> None:
    first = next(local.launch(jobs(tmp_path, 0), Means(jobs=3, cores=2), Stops()))
    assert first == Notice("3 jobs do not fit at once: 2 of them on 2 cores, with 1 thread for each job.")


def begun(tmp_path: Path, *seeds: int) -> tuple[Iterator[Event], list[psutil.Process]]:
    """A launch whose workers have all begun, and their processes."""
    wanted = jobs(tmp_path, *seeds)
    events = local.launch(wanted, MEANS, Stops())
    processes: list[psutil.Process] = []
    until = time.monotonic() + 60
    while not all((job.folder / "begun").exists() for job in wanted):
        assert time.monotonic() < until
        event = next(events)
        if isinstance(event, Started) and event.process:
            processes.append(psutil.Process(event.process))
    return events, processes


def test_a_launch_that_is_closed_leaves_no_worker(tmp_path: Path) -> None:
    events, processes = begun(tmp_path, 8)
    events.close()  # type: ignore[attr-defined]
    assert [process.is_running() for process in processes] == [False]


def test_a_worker_that_will_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "CHECKPOINT_GRACE", 0.5)
    events, processes = begun(tmp_path, 8, 9)
    events.close()  # type: ignore[attr-defined]
    assert [process.is_running() for process in processes] == [False, False]
