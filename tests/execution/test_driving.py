"""A plan through a launcher, here one that only says what it is told to: what is kept of every job, and what is left out."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.execution.driving import drive
from dfrd_bench.execution.jobs import job_folder, read_outcome
from dfrd_bench.execution.protocol import Event, Failed, Finished, Job, Means, Started, Waiting
from dfrd_bench.execution.status import standing
from dfrd_bench.observer import Stops
from dfrd_bench.runs.request import Request, read_request
from dfrd_bench.runs.run import fulfil

ASKED = Request(method="zskt", device="cpu", attacks=("clean",))
SMALL = {"epochs": 1, "batch_size": 8, "distillation_steps": 2, "attack_steps": 2}


@dataclass
class Puppet:
    """Starts every job, and ends those whose seed is even."""

    summary: str = "does nothing"
    taken: tuple[int, ...] = ()

    def launch(self, jobs: Sequence[Job], means: Means, stops: Stops) -> Generator[Event, None, None]:
        self.taken = tuple(job.request.seed for job in jobs)
        for job in jobs:
            yield Started(job, "nowhere", os.getpid())
            if job.request.seed % 2 == 0:
                yield Failed(job, "no strings")
        yield Waiting(jobs[-1], "somebody")


def plan(results: Path, *seeds: int) -> list[Request]:
    return [replace(ASKED, seed=seed, results=str(results)) for seed in seeds]


def test_what_became_of_a_job_is_there_for_whoever_looks(tmp_path: Path) -> None:
    requests = plan(tmp_path, 0, 1, 3)
    events = drive(Puppet(), requests, Means(), Stops())
    first = next(events)
    assert isinstance(first, Started)
    assert standing(requests[0]).stage == "running"
    assert read_request(job_folder(requests[1]) / "request.json") == requests[1]
    list(events)
    outcomes = [read_outcome(job_folder(request)) for request in requests]
    assert [one and one.outcome for one in outcomes] == ["failed", "stopped", "running"]  # the last is somebody else's
    assert (standing(requests[0]).stage, standing(requests[0]).why) == ("failed", "no strings")


def test_a_plan_that_is_left_in_the_middle_leaves_its_jobs_stopped(tmp_path: Path) -> None:
    requests = plan(tmp_path, 1, 3)
    events = drive(Puppet(), requests, Means(), Stops())
    next(events)
    events.close()
    outcome = read_outcome(job_folder(requests[0]))
    assert outcome is not None
    assert outcome.outcome == "stopped"
    assert read_outcome(job_folder(requests[1])) is None


def test_two_rows_that_are_the_same_run_are_refused_before_any_is_made(tmp_path: Path) -> None:
    launcher = Puppet()
    with pytest.raises(DfrdBenchError, match="Runs 1 and 3 of the plan are the same: zskt seed=0"):
        list(drive(launcher, plan(tmp_path, 0, 1, 0), Means(), Stops()))
    assert launcher.taken == ()


def test_what_is_asked_for_elsewhere_is_the_same_job(tmp_path: Path) -> None:
    here, there = plan(tmp_path / "a", 0)[0], plan(tmp_path / "b", 0)[0]
    assert job_folder(here).name == job_folder(replace(there, device="cuda")).name
    others = [replace(here, seed=1), replace(here, attacks=("pgd20",)), replace(here, settings={"lr": 0.1})]
    assert len({job_folder(request).name for request in [here, *others]}) == 4


def test_what_is_recorded_with_the_same_teacher_and_nothing_left_behind_is_left_out(
    tmp_path: Path, few_digits: None
) -> None:
    """One was made with other weights in a teacher of the same name; of one a killed process left a lock."""
    requests = [replace(ASKED, settings=SMALL, seed=seed, results=str(tmp_path)) for seed in (0, 2, 4, 6)]
    made = {request.seed: fulfil(request).folder for request in requests[:3]}
    record = json.loads((made[2] / "record.json").read_text())
    record["spec"]["teacher"]["sha256"] = "0" * 64
    (made[2] / "record.json").write_text(json.dumps(record))
    made[2].rename(made[2].with_name(made[2].name[:-8] + "0" * 8))
    (made[4] / "lock").touch()
    assert [standing(request).stage for request in requests] == ["done", "done", "done", "missing"]
    launcher = Puppet()
    events = list(drive(launcher, requests, Means(), Stops()))
    assert events[0] == Finished(Job(1, requests[0], job_folder(requests[0])), made[0], cached=True)
    assert launcher.taken == (2, 4, 6)
    assert not job_folder(requests[0]).exists()
    assert json.loads((job_folder(requests[1]) / "request.json").read_text())["seed"] == 2


def test_an_outcome_that_cannot_be_kept_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise DfrdBenchError("the disk is full")

    monkeypatch.setattr("dfrd_bench.execution.driving.write_outcome", refuse)
    events = list(drive(Puppet(), plan(tmp_path, 0, 1), Means(), Stops()))
    assert sum(isinstance(event, Started) for event in events) == 2
