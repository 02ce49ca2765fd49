"""The simulation of many workers: what must hold of any schedule does, and it is a launcher as the driver knows them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from dfrd_bench.benchmarks.scaling.cluster import Cluster, World
from dfrd_bench.benchmarks.scaling.simulation import main, simulate

from dfrd_bench.execution.driving import drive
from dfrd_bench.execution.jobs import job_folder, jobs_of, read_outcome
from dfrd_bench.execution.protocol import Finished, Job, Lost, Means, Started
from dfrd_bench.observer import Stops
from dfrd_bench.runs.request import Request

RUNS = 60
FRAIL = World(workers=7, length=3600, spread=0.8, start=50, checkpoint=300, between_failures=1800, repair=200, seed=3)


def jobs(count: int = RUNS) -> list[Job]:
    return jobs_of([Request(method="zskt", seed=seed) for seed in range(count)])


@pytest.mark.parametrize("workers", [1, 7, 59, 60, 1000])
def test_equal_runs_without_failures_take_as_many_turns_as_they_must(workers: int) -> None:
    world = World(workers=workers, length=1000, spread=0, start=10, between_failures=None)
    outcome = simulate(jobs(), world)
    assert outcome.cluster.makespan == pytest.approx(math.ceil(RUNS / workers) * 1010)
    assert (outcome.cluster.failures, outcome.cluster.lost) == (0, 0)
    assert outcome.events == 2 * RUNS


@pytest.mark.parametrize("workers", [1, 2, 7, 100])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_not_lost_is_the_work_and_a_start_for_each_run(workers: int, seed: int) -> None:
    world = replace(FRAIL, workers=workers, seed=seed)
    cluster = simulate(jobs(), world).cluster
    assert cluster.failures > 20
    work = sum(world.length_of(job) for job in jobs())
    assert cluster.busy - cluster.lost == pytest.approx(work + RUNS * world.start)
    if workers == 1:  # it is at a run or being mended
        assert cluster.makespan == pytest.approx(cluster.busy + cluster.failures * world.repair)


@pytest.mark.parametrize("workers", [2, 7, 31])
def test_no_worker_is_idle_while_a_run_waits(workers: int) -> None:
    """Graham's bound for such schedules: no more than an equal share of all work, and the longest run on top."""
    world = replace(FRAIL, workers=workers, between_failures=None)
    outcome = simulate(jobs(), world)
    work = [world.start + world.length_of(job) for job in jobs()]
    assert outcome.bound == pytest.approx(max(sum(work) / workers, max(work)))
    assert outcome.bound <= outcome.cluster.makespan <= sum(work) / workers + (1 - 1 / workers) * max(work)


def test_a_failure_costs_half_the_time_between_checkpoints_on_average() -> None:
    world = World(workers=20, length=7200, spread=0, start=0, checkpoint=60, between_failures=3600, repair=0)
    cluster = simulate(jobs(600), world).cluster
    assert cluster.failures > 1000  # the mean of so many is within 4 of its standard errors
    assert abs(cluster.lost / cluster.failures - 30) < 4 * 60 / math.sqrt(12 * cluster.failures)


def test_a_worker_is_at_one_run_at_a_time_and_a_run_with_one_worker() -> None:
    at: dict[str, int] = {}
    for event in Cluster(FRAIL).launch(jobs(), Means(), Stops()):
        if isinstance(event, Started):
            assert event.where not in at
            assert event.job.number not in at.values()
            at[event.where] = event.job.number
        elif isinstance(event, Finished):
            at = {where: number for where, number in at.items() if number != event.job.number}
        else:
            assert isinstance(event, Lost)
            assert at.pop(event.why.removesuffix(" failed")) == event.job.number
        assert len(at) <= FRAIL.workers
    assert not at


def test_the_real_driver_takes_it_for_a_launcher_and_keeps_what_became_of_each_run(tmp_path: Path) -> None:
    plan = [Request(method="zskt", seed=seed, device="cpu", results=str(tmp_path)) for seed in range(6)]
    events = list(drive(Cluster(replace(FRAIL, workers=2)), plan, Means(), Stops()))
    assert len([event for event in events if isinstance(event, Finished)]) == 6
    outcomes = [read_outcome(job_folder(request)) for request in plan]
    assert [outcome and outcome.outcome for outcome in outcomes] == ["finished"] * 6


def test_the_command_prints_a_line_for_each_number_of_workers() -> None:
    words = ["--seeds", "0-1", "--dataset", "digits", "--student", "wrn-10-1", "--workers", "1,5", "--driven", "2"]
    printed = CliRunner().invoke(main, words)
    assert printed.exit_code == 0, printed.output
    lines = printed.output.splitlines()
    assert lines[0].startswith("12 runs of 2.5 h on average, a failure of each worker every 100 h")
    assert [line.split()[0] for line in lines[1:4]] == ["workers", "1", "5"]
    assert "events per second" in printed.output
    for wrong in (["--workers", "0"], ["--workers", "many"], ["--suite", "mian"], ["--seeds", "x"]):
        refused = CliRunner().invoke(main, [*words, *wrong])
        assert (refused.exit_code, refused.output.count("\n")) == (2, 1), refused.output
