"""The parts of the Ray launcher that need no cluster: how much each run gets, and what is sent and lands."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.execution.protocol import Failed, Job, Lost, Means, Notice
from dfrd_bench.execution.ray import cluster, launcher
from dfrd_bench.execution.ray.flight import Flight
from dfrd_bench.execution.ray.messages import File, Log, Message, Place, Whole
from dfrd_bench.execution.ray.outgoing import Outgoing, files_of
from dfrd_bench.execution.ray.room import Room, room_in
from dfrd_bench.execution.waitlist import Waitlist
from dfrd_bench.runs.installation import differing
from dfrd_bench.runs.request import Request

GPU_NODES = [{"CPU": 32.0, "GPU": 4.0}, {"CPU": 64.0, "GPU": 4.0}, {"CPU": 128.0}]
CPU_NODES = [{"CPU": 4.0}, {"CPU": 2.0}]


@pytest.mark.parametrize(
    ("nodes", "means", "device", "expected"),
    [
        (GPU_NODES, Means(), "auto", (8, 1.0, None)),  # the node with the fewest CPUs per GPU has 8
        (GPU_NODES, Means(gpus_per_job=0.5), "cuda", (4, 0.5, None)),
        (GPU_NODES, Means(jobs=20), "auto", (8, 1.0, 8)),  # no more than there are GPUs
        (GPU_NODES, Means(jobs=20, gpus_per_job=0.5), "auto", (4, 0.5, 16)),
        (GPU_NODES, Means(threads=2), "cpu", (2, 0.0, None)),
        (GPU_NODES, Means(most_threads=3), "auto", (3, 1.0, None)),
        (CPU_NODES, Means(), "auto", (1, 0.0, None)),
        (CPU_NODES, Means(jobs=3), "auto", (2, 0.0, 3)),
        (CPU_NODES, Means(jobs=1), "auto", (2, 0.0, 1)),  # a node has no more
        (CPU_NODES, Means(jobs=9, threads=2), "auto", (2, 0.0, 3)),
    ],
)
def test_what_each_run_gets(
    nodes: list[dict[str, float]], means: Means, device: str, expected: tuple[int, float, int | None]
) -> None:
    room = room_in(nodes, means, device)
    assert (room.threads, room.gpus, room.jobs) == expected


def test_fewer_than_were_asked_for_is_said() -> None:
    assert room_in(CPU_NODES, Means(jobs=9, threads=2), "cpu") == Room(
        2, 0.0, 3, "9 jobs do not fit at once: 3 of them on the cluster, with 2 CPUs for each."
    )


@pytest.mark.parametrize(
    ("nodes", "means", "device", "message"),
    [
        (CPU_NODES, Means(), "cuda", "no node of the Ray cluster has a GPU"),
        (GPU_NODES, Means(), "cuda:1", "--device cuda, not cuda:1"),
        (GPU_NODES, Means(gpus_per_job=2), "auto", "--gpus-per-job must lie above 0 and be at most 1, not 2"),
        (CPU_NODES, Means(threads=8), "cpu", "No node of the Ray cluster has 8 CPUs for a run"),
    ],
)
def test_what_a_cluster_has_not_is_refused(
    nodes: list[dict[str, float]], means: Means, device: str, message: str
) -> None:
    with pytest.raises(DfrdBenchError, match=message):
        room_in(nodes, means, device)


def test_versions_that_differ_are_named() -> None:
    wanted = {"dfrd-bench": "0.3.0", "torch": "2.6.0", "my-plugin": "1.5"}
    assert differing(wanted, {**wanted, "other": "1"}) == ""
    assert differing(wanted, {"dfrd-bench": "0.2.0", "torch": "2.6.0"}) == (
        "dfrd-bench is 0.2.0 there, not 0.3.0; my-plugin is missing there"
    )


def heard(messages: Iterator[Message]) -> list[Message]:
    """What a generator says to Ray, which sends into it."""
    found: list[Message] = []
    with suppress(StopIteration):
        found.append(next(messages))
        while True:
            found.append(messages.send("anything"))  # type: ignore[attr-defined]
    return found


def said(messages: Iterator[Message]) -> list[str]:
    return [
        message.name if isinstance(message, (File, Place)) else type(message).__name__ for message in heard(messages)
    ]


def test_a_worker_sends_what_has_changed_and_at_the_end_which_files_there_are(tmp_path: Path) -> None:
    results, job, run = tmp_path, tmp_path / "launched" / "x", tmp_path / "digits" / "zskt"
    for folder in (job, run / "checkpoint"):
        folder.mkdir(parents=True)
    (run / "checkpoint" / "method.pt").write_bytes(b"one")
    (run / "history.jsonl").write_bytes(b"{}")
    brought = files_of(run, results)
    assert brought == {"digits/zskt/checkpoint/method.pt": b"one", "digits/zskt/history.jsonl": b"{}"}
    outgoing = Outgoing(results, job, brought)
    assert said(outgoing.place()) == []  # nobody has begun
    (run / "lock").touch()
    assert said(outgoing.place()) == ["digits/zskt"]
    (job / "log").write_text("begun\n")
    assert heard(outgoing.news()) == [Log(b"begun\n")]
    (run / "history.jsonl").write_bytes(b"{}{}")
    (run / "checkpoint" / "method.pt").write_bytes(b"other")
    assert said(outgoing.news()) == ["history.jsonl", "Whole"]
    assert said(outgoing.all()) == ["checkpoint/method.pt", "Whole"]
    (run / "checkpoint" / "method.pt").unlink()
    (run / "record.json").write_text("{}")
    (run / "weights.1234abcd.tmp").touch()
    assert heard(outgoing.all(last=True)) == [File("record.json", b"{}"), Whole(["history.jsonl", "record.json"])]


def test_of_a_run_that_was_there_before_a_new_record_says_which_it_is(tmp_path: Path) -> None:
    """One that only lacks an attack may be done between two looks at the lock."""
    run = tmp_path / "digits" / "zskt"
    run.mkdir(parents=True)
    (run / "record.json").write_text("{}")
    outgoing = Outgoing(tmp_path, tmp_path / "launched", files_of(run, tmp_path))
    assert heard(outgoing.place()) == []
    (run / "record.json").write_text('{"more": 1}')
    os.utime(run / "record.json", (1, 1))
    assert heard(outgoing.place()) == [Place("digits/zskt")]


@pytest.mark.parametrize(
    ("complaint", "line"),
    [
        (
            "Unauthenticated: RPC error: InvalidAuthToken: missing",
            "^The Ray cluster at .* it wants a token: set RAY_AUTH_",
        ),
        ("something else", "^There is no Ray cluster at .*: ConnectionError: no such cluster$"),
    ],
)
def test_a_cluster_that_wants_a_token_is_told_from_none(
    complaint: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray says that on stderr alone, and then that it cannot connect."""
    (tmp_path / "ray.py").write_text(
        f"import sys\ndef init(**_):\n    sys.stderr.write({complaint!r})\n    raise ConnectionError('no such cluster')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(DfrdBenchError, match=line):
        cluster._check_answers(f"127.0.0.1:{server.getsockname()[1]}")


def test_that_ray_begins_nothing_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = launcher._Fleet(None, Room(1, 0.0, None), Waitlist([]), {}, shared=False)
    monkeypatch.setattr(launcher, "WAITED", -1.0)
    assert [*fleet.no_room()] == []  # nothing is to be begun
    job = Job(1, Request(method="zskt", results=str(tmp_path)), tmp_path)
    fleet.flights.append(Flight(job, None))
    assert [*fleet.no_room()] == [Notice("The Ray cluster has no room for a run now; it is waited for.")]
    assert [*fleet.no_room()] == []


def test_a_run_that_loses_its_workers_again_and_again_fails_in_the_end(tmp_path: Path) -> None:
    fleet = launcher._Fleet(None, Room(1, 0.0, None), Waitlist([]), {}, shared=False)
    job = Job(1, Request(method="zskt", results=str(tmp_path)), tmp_path)
    events = [event for _ in range(4) for event in fleet._settled(Lost(job, "A node was lost."))]
    assert events[:3] == [Lost(job, "A node was lost.")] * 3
    assert events[3] == Failed(job, "4 workers were lost with it, the last so: A node was lost.")
    assert len(fleet.waiting) == 3
