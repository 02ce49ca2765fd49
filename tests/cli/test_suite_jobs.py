"""`dfrd-bench suite --jobs` with real processes: runs that die end no other, a stop leaves no worker, and it goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import plugin_packages
import psutil
import pytest
import tiny

from dfrd_bench.records.store import find_records, load_record

PATIENCE = 180.0
PLUGIN = """
import os, pathlib, signal, time
from dfrd_bench.methods.data_free.zskt import ZSKT

class Killed(ZSKT):
    \"\"\"Is killed in its second epoch.\"\"\"
    def train_epoch(self, epoch):
        if epoch == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().train_epoch(epoch)

class Slow(ZSKT):
    \"\"\"Says that an epoch has begun, and takes its time.\"\"\"
    def train_epoch(self, epoch):
        numbers = super().train_epoch(epoch)
        pathlib.Path(f"epoch-{self.problem.seed}").write_text(str(epoch))
        if not pathlib.Path("quick").exists():
            time.sleep(0.5)
        return numbers
"""
SMALL = "batch_size: 8, distillation_steps: 2, attack_steps: 2"
WORDS = ("--attacks", "clean", "--test-images", "20", "--device", "cpu", "--jobs", "2")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with plugins that workers find too."""
    site = plugin_packages.plant(tmp_path / "site", "methods", {"killed": "Killed", "slow": "Slow"}, PLUGIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr("dfrd_bench.cli.threads.processors", lambda: 2)
    plugin_packages.forget()
    return tmp_path


def rows(path: Path, *methods: str, epochs: int = 2) -> str:
    lines = [f"  - {{method: {method}, settings: {{epochs: {epochs}, {SMALL}}}}}\n" for method in methods]
    path.write_text("title: Mine\nruns:\n" + "".join(lines))
    return str(path)


def test_a_run_that_is_killed_is_named_at_the_end_and_the_others_are_recorded_once(place: Path) -> None:
    suite = rows(place / "mine.yaml", "killed", "zskt")
    first = tiny.command("suite", suite, *WORDS, "--seeds", "0-1")
    assert first.code == 1, first.err
    assert "2 of 4 runs failed:" in first.err
    last = first.err.splitlines()[-2:]
    assert [line.split()[0] for line in last] == ["killed", "killed"]
    assert all("It was killed by SIGKILL" in line for line in last)
    made = {folder: (folder / "record.json").stat().st_mtime_ns for folder, _ in find_records(place / "results")}
    assert len(made) == 2
    assert set(first.out.splitlines()[:-1]) == {str(folder.relative_to(place)) for folder in made}
    status = tiny.command("suite", suite, *WORDS, "--seeds", "0-2", "--status")
    assert status.code == 0
    assert status.out.splitlines()[-1] == "6 runs: 2 done, 0 running, 0 stopped, 2 failed, 2 missing"
    alone = rows(place / "alone.yaml", "zskt")
    again = tiny.command("suite", alone, *WORDS, "--seeds", "0-1")
    assert again.code == 0
    assert again.err.count("recorded already") == 2
    assert "started" not in again.err
    assert made == {
        folder: (folder / "record.json").stat().st_mtime_ns for folder, _ in find_records(place / "results")
    }


def test_a_launched_run_is_the_run_of_one_process_to_the_bit(place: Path) -> None:
    suite = rows(place / "mine.yaml", "zskt")
    watched = ("--quiet", "--probe", "1", "--observer", "jsonl")
    assert tiny.command("suite", suite, *WORDS, *watched).code == 0
    assert tiny.command("suite", suite, *WORDS[:-2], *watched, "--results", "whole").code == 0  # without --jobs
    (launched,), (whole,) = ([*(place / name).rglob("record.json")] for name in ("results", "whole"))
    assert launched.relative_to(place / "results") == whole.relative_to(place / "whole")
    one, other = load_record(launched.parent), load_record(whole.parent)
    assert one.environment.threads == other.environment.threads == 1
    assert one.weights_sha256 == other.weights_sha256
    assert one.evaluation.attacks["clean"].confusion == other.evaluation.attacks["clean"].confusion
    names = [name for name in tiny.files_below(whole.parent) if name.endswith((".npz", ".safetensors"))]
    assert len(names) == 3
    for name in names:
        assert (launched.parent / name).read_bytes() == (whole.parent / name).read_bytes(), name
    for folder in (launched.parent, whole.parent):  # each probed and observed as it was asked to be
        assert all("probe_synthetic_average" in line for line in (folder / "history.jsonl").read_text().splitlines())
        events = [json.loads(line)["event"] for line in (folder / "events.jsonl").read_text().splitlines()]
        assert (events[:3], events[-1]) == (["start", "epoch", "epoch"], "record")


def test_drivers_that_begin_at_once_make_every_run_once(place: Path) -> None:
    (place / "quick").touch()
    suite = rows(place / "mine.yaml", "slow")
    command = [sys.executable, "-m", "dfrd_bench", "suite", suite, *WORDS[:-2], "--launcher", "local", "--seeds", "0-2"]
    drivers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [driver.communicate(timeout=PATIENCE * 2) for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0, 0], said
    assert all(len(out.splitlines()) == 4 for out, _ in said)  # each knows all three, and how to compare
    logs = [path.read_text() for path in place.glob("results/launched/*/log")]
    assert [log.count("Recorded in ") - log.count("Already run: ") for log in logs] == [1, 1, 1]
    assert len([*find_records(place / "results")]) == 3


def started(suite: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dfrd_bench", "suite", suite, *WORDS, "--seeds", "0-1"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def workers_of(process: subprocess.Popen[str], place: Path) -> list[psutil.Process]:
    """The two workers, once both have kept a checkpoint."""
    until = time.monotonic() + PATIENCE
    while len([*place.rglob("method.pt")]) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    return psutil.Process(process.pid).children()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_a_stop_of_the_suite_leaves_no_worker_and_the_same_command_goes_on(place: Path, number: signal.Signals) -> None:
    suite = rows(place / "mine.yaml", "slow", epochs=60)
    process = started(suite)
    workers = workers_of(process, place)
    running, until = "", time.monotonic() + PATIENCE
    while running.count(" of training left") < 2:  # said once there are epochs to tell it from
        assert time.monotonic() < until, running
        running = tiny.command("suite", suite, *WORDS, "--seeds", "0-1", "--status").out
    process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == (-9 if number == signal.SIGKILL else 128 + number), err
    psutil.wait_procs(workers, timeout=PATIENCE if number == signal.SIGKILL else 0)
    assert len(workers) == 2
    assert not any(worker.is_running() for worker in workers)
    assert running.splitlines()[-1] == "2 runs: 0 done, 2 running, 0 stopped, 0 failed, 0 missing"
    told = tiny.command("suite", suite, *WORDS, "--seeds", "0-1", "--status").out
    assert told.splitlines()[-1] == "2 runs: 0 done, 0 running, 2 stopped, 0 failed, 0 missing"
    if number == signal.SIGTERM:
        assert "Stopped by SIGTERM. The same command goes on" in err
        before = (place / "epoch-0").read_text()
        (place / "quick").touch()
        again = started(suite)
        workers_of(again, place / "results")
        assert again.wait(PATIENCE) == 0
        logs = [path.read_text() for path in place.rglob("log")]
        assert len(logs) == 2
        assert any(f"(going on after epoch {int(before) + 1})" in log for log in logs)
