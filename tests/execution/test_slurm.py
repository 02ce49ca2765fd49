"""The array script, as it is written and as a real Slurm cluster of two nodes takes it: four runs, one of them requeued."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import plugin_packages
import pytest
import tiny
from slurm_cluster import slurm_cluster, what_is_missing

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.execution.jobs import jobs_of
from dfrd_bench.execution.protocol import Job, Means
from dfrd_bench.execution.slurm import Slurm
from dfrd_bench.records.store import load_record
from dfrd_bench.runs.request import Request

PATIENCE = 600.0
PLUGIN = """
import pathlib, time
from dfrd_bench.methods.data_free.zskt import ZSKT

class Slow(ZSKT):
    \"\"\"With seed 2 takes its time until it is told to be quick.\"\"\"
    def train_epoch(self, epoch):
        numbers = super().train_epoch(epoch)
        if self.problem.seed == 2 and not pathlib.Path("quick").exists():
            time.sleep(0.5)
        return numbers
"""
WORDS = ("--attacks", "clean", "--test-images", "20", "--device", "cpu", "--seeds", "0-3")


def jobs(results: Path, *seeds: int, device: str = "cpu") -> list[Job]:
    request = Request(method="zskt", device=device, results=str(results))
    return jobs_of([replace(request, seed=seed) for seed in seeds])


def directives(text: str) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH ")]


def test_the_script_asks_for_what_was_asked_for(tmp_path: Path) -> None:
    wanted = jobs(tmp_path / "my results", 0, 1, 2, device="auto")
    launcher = Slurm("", sbatch="--time=24:00:00 -p gpu")
    text, _ = launcher.script(wanted, Means(jobs=2, threads=6))
    said = directives(text)
    assert {"--array=1-3%2", "--cpus-per-task=6", "--gres=gpu:1", "--requeue", "--signal=B:USR1@300"} <= set(said)
    assert said[-1] == "--time=24:00:00 -p gpu"
    on_cpu = directives(launcher.script(jobs(tmp_path, 0), Means())[0])
    assert "--array=1-1" in on_cpu
    assert "--cpus-per-task=1" in on_cpu
    assert not [line for line in on_cpu if "gpu:" in line]


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_task_k_runs_request_k_whatever_its_folder_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The script as bash reads it, with a Python that only says what it is given."""
    odd = tmp_path / "my 'odd' $HOME %a"
    odd.mkdir()
    monkeypatch.chdir(odd)
    wanted = jobs(Path("results"), 0, 1, 2)
    script = tmp_path / "array.sbatch"
    script.write_text(Slurm("").script(wanted, Means(threads=3))[0])
    stand_in = tmp_path / "python"
    stand_in.write_text('#!/bin/bash\necho "$OMP_NUM_THREADS $PWD"\nprintf "%s\\n" "$@"\n')
    stand_in.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(stand_in))
    script.write_text(Slurm("").script(wanted, Means(threads=3))[0])
    said = subprocess.run(
        ["bash", script], env={**os.environ, "SLURM_ARRAY_TASK_ID": "2"}, capture_output=True, text=True, cwd=tmp_path
    )
    request = odd / wanted[1].folder / "request.json"
    assert said.stdout.splitlines() == [f"3 {odd}", "-m", "dfrd_bench.cli.task", str(request)], said.stderr


@pytest.mark.parametrize(
    ("means", "device", "launcher", "message"),
    [
        (Means(gpus_per_job=0.5), "cuda", Slurm(""), "Slurm gives whole GPUs"),
        (Means(), "cuda:1", Slurm(""), "--device cuda, not cuda:1"),
        (Means(), "cpu", Slurm("", sbatch="gpu"), "--sbatch takes options on one line"),
        (Means(), "cpu", Slurm("", sbatch="-p a\nrm"), "--sbatch takes options on one line"),
    ],
)
def test_what_slurm_does_not_give_is_refused(
    means: Means, device: str, launcher: Slurm, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DfrdBenchError, match=message):
        launcher.script(jobs(tmp_path, 0, device=device), means)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a suite of one row and a plugin that tasks find too."""
    site = plugin_packages.plant(tmp_path / "site", "methods", {"slow": "Slow"}, PLUGIN)
    settings = "epochs: 30, batch_size: 8, distillation_steps: 2, attack_steps: 2"
    (tmp_path / "mine.yaml").write_text(f"title: Mine\nruns:\n  - {{method: slow, settings: {{{settings}}}}}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site))
    plugin_packages.forget()
    return tmp_path


def suite(*more: str) -> tiny.Outcome:
    return tiny.command("suite", "mine.yaml", *WORDS, *more)


def test_without_sbatch_the_script_is_there_and_one_line_says_so(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    refused = suite("--launcher", "slurm", "--submit", "--quiet")
    assert refused.code == 2
    assert refused.err.endswith(
        "Error: There is no sbatch here: --submit needs Slurm's commands. results/launched/array.sbatch is written, and can "
        "be submitted by hand.\n"
    )
    written = suite("--launcher", "slurm", "--array-script", "mine.sbatch")
    assert written.code == 0
    assert (
        "mine.sbatch is written: 4 tasks, each with 1 CPU and no GPU. Submit it with: sbatch mine.sbatch" in written.err
    )
    assert directives((place / "mine.sbatch").read_text()) == directives(
        (place / "results/launched/array.sbatch").read_text()
    )
    status = suite("--status").out.splitlines()
    assert status[-1] == "4 runs: 0 done, 0 running, 0 stopped, 0 failed, 4 missing"
    assert status[2].endswith("task 3 of mine.sbatch, not submitted")


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory, place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if missing := what_is_missing():
        pytest.skip(missing)
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield


def test_an_array_of_four_runs_of_which_one_is_requeued(place: Path, cluster: None) -> None:
    """SIGUSR1 comes as it does before a time limit, to the batch script alone."""
    submitted = suite("--launcher", "slurm", "--submit")
    assert submitted.code == 0, submitted.err
    assert "submitted as Slurm job 1: 4 tasks, each with 1 CPU and no GPU" in submitted.err
    assert suite("--status").out.splitlines()[3].endswith("Slurm job 1_4")
    until = time.monotonic() + PATIENCE
    while not [*place.glob("results/**/*seed2-*/checkpoint/method.pt")]:
        assert time.monotonic() < until, suite("--status").out
        time.sleep(0.1)
    running = suite("--status").out.splitlines()[2]
    assert running.startswith("running")
    assert "Slurm job 1_3, process" in running
    subprocess.run(["scancel", "--batch", "--signal=USR1", "1_3"], check=True)
    out = place / "results/launched/slurm-1_3.out"
    while "Slurm job 1_3 is queued again." not in out.read_text():
        assert time.monotonic() < until, out.read_text()
        time.sleep(0.1)
    (place / "quick").touch()
    state = ["squeue", "-h", "-j", "1_3", "-o", "%T"]
    while subprocess.run(state, capture_output=True).stdout != b"PENDING\n":
        assert time.monotonic() < until, out.read_text()
        time.sleep(0.1)
    # else it begins after two minutes; in the very second in which it was queued again its node refuses it
    subprocess.run(["scontrol", "update", "JobId=1_3", "StartTime=now+2"], check=True)
    while (
        len([*place.glob("results/**/record.json")]) < 4 or subprocess.run(["squeue", "-h"], capture_output=True).stdout
    ):
        assert time.monotonic() < until, suite("--status").out + out.read_text()
        time.sleep(0.2)
    assert suite("--status").out.splitlines()[-1] == "4 runs: 4 done, 0 running, 0 stopped, 0 failed, 0 missing"
    (log,) = place.glob("results/launched/*seed=2-*/log")
    assert log.read_text().count("(going on after epoch ") == 1
    assert tiny.command("suite", "mine.yaml", *WORDS[:-1], "2", "--results", "whole", "--quiet").code == 0
    for whole in place.glob("whole/**/record.json"):
        launched = place / "results" / whole.relative_to(place / "whole")
        assert load_record(launched.parent).weights_sha256 == load_record(whole.parent).weights_sha256
        assert tiny.files_below(launched.parent) == tiny.files_below(whole.parent)
        for name in ("student.safetensors", "predictions.npz", "samples.npz"):
            assert (launched.parent / name).read_bytes() == (whole.parent / name).read_bytes()
