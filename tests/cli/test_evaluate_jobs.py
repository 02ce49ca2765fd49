"""`--jobs` on `evaluate` and `run`, with real processes: the same files, and a stop leaves none of them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import plugin_packages
import psutil
import pytest
import tiny

from dfrd_bench.records.store import load_predictions, load_record

PATIENCE = 180.0
RESULTS = Path(__file__).parents[2] / "results" / "digits" / "digits-wrn-10-2" / "wrn-10-1"
PLUGIN = """
import pathlib, time

class Slow:
    summary = "takes its time"
    def parameters(self, threat): return {}
    def __call__(self, model, x, y, *, threat, indices, seed):
        pathlib.Path(f"at-{int(indices[0])}").touch()
        while not pathlib.Path("quick").exists():
            time.sleep(0.05)
        return x

slow = Slow()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a plugin that every process finds, and room for two."""
    site = plugin_packages.plant(tmp_path / "site", "attacks", {"slow": "slow"}, PLUGIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setattr("dfrd_bench.cli.threads.processors", lambda: 2)
    plugin_packages.forget()
    return tmp_path


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_ctrl_c_leaves_no_process_and_the_same_command_goes_on(place: Path, request: pytest.FixtureRequest) -> None:
    folder = Path(shutil.copytree(next(RESULTS.glob("zskt/default-seed0-*")), place / "run"))
    command = [sys.executable, "-m", "dfrd_bench", "evaluate", "run", "--attacks", "slow", "--jobs", "2"]
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core has room for one job")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    request.addfinalizer(process.kill)
    until = time.monotonic() + PATIENCE
    while len([*place.glob("at-*")]) < 2:  # two of three batches, side by side
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    children = psutil.Process(process.pid).children()
    assert len(children) == 2
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert [line.strip() for line in err.splitlines() if line.strip()] == [
        "slow 0/900  the first batches are under way, each in a process of its own",
        "Stopped. The same command goes on from what the attacks had found; finished results are kept.",
    ]
    assert not any(child.is_running() for child in children)
    (place / "quick").touch()
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    record = load_record(folder)
    assert record.evaluation.attacks["slow"].confusion == record.evaluation.attacks["clean"].confusion
    assert (load_predictions(folder).attacks["slow"] == load_predictions(folder).attacks["clean"]).all()


def test_a_run_that_two_processes_evaluate_leaves_the_files_of_one_and_says_by_how_many_threads(place: Path) -> None:
    words = ("run", "--method", "zskt", "--epochs", "1", "--attacks", "clean,fgsm", "--quiet", "--device", "cpu")
    small = ("--set", "batch_size=8", "--set", "distillation_steps=2", "--set", "attack_steps=2")
    whole, divided = place / "whole", place / "divided"
    assert tiny.command(*words, *small, "--results", whole).code == 0
    outcome = tiny.command(*words, *small, "--results", divided, "--jobs", "3")
    assert outcome.err == "3 jobs do not fit at once: 2 on 2 cores, with 1 thread each.\n"
    (one,), (other,) = (list(root.rglob("record.json")) for root in (whole, divided))
    assert one.relative_to(whole) == other.relative_to(divided)
    assert one.with_name("predictions.npz").read_bytes() == other.with_name("predictions.npz").read_bytes()
    records = [load_record(path.parent) for path in (one, other)]
    assert [attack.confusion for attack in records[0].evaluation.attacks.values()] == [
        attack.confusion for attack in records[1].evaluation.attacks.values()
    ]
    assert tiny.files_below(one.parent) == tiny.files_below(other.parent)
    assert tiny.command("verify", divided).code == 0


@pytest.mark.parametrize(
    ("runs", "each", "said"),
    [
        ("1", "2", ""),
        ("2", "1", ""),
        (
            "2",
            "2",
            "2 jobs for each of 2 runs at a time do not fit at once: 1 for each on 2 cores, with 1 thread each.\n",
        ),
    ],
)
def test_runs_at_a_time_share_the_cores_with_those_that_evaluate_them(
    runs: str, each: str, said: str, place: Path
) -> None:
    words = ("suite", "main", "--dataset", "digits", "--device", "cpu", "--status", "--results", place)
    assert tiny.command(*words, "--jobs", runs, "--evaluation-jobs", each).err == said
