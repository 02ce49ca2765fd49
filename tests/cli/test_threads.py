"""A command advises PyTorch's OpenMP, its user's own settings go before the advice, and the library advises nobody."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dfrd_bench.cli import threads
from dfrd_bench.cli.threads import advise, processor_share, processors

SPOKEN = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "MKL_NUM_THREADS")


def settled(script: str, **environment: str) -> dict[str, str]:
    """What a new process has for OpenMP in its environment after a script."""
    clean = {name: value for name, value in os.environ.items() if name not in SPOKEN}
    shown = f"{script}\nimport json, os\nprint(json.dumps({{k: os.environ[k] for k in {SPOKEN!r} if k in os.environ}}))"
    done = subprocess.run(
        [sys.executable, "-c", shown], env={**clean, **environment}, capture_output=True, text=True, check=True
    )
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


COMMAND = "from dfrd_bench.cli.main import main; main(['list', 'suites'])"


def test_a_command_lets_waiting_threads_sleep_soon() -> None:
    assert settled(COMMAND)["GOMP_SPINCOUNT"] == "1000"


@pytest.mark.parametrize(
    "given",
    [
        {"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": "3"},
        {"GOMP_SPINCOUNT": "7", "OMP_NUM_THREADS": "1"},
        {"KMP_BLOCKTIME": "200", "MKL_NUM_THREADS": "2"},
    ],
)
def test_what_a_user_set_stays(given: dict[str, str]) -> None:
    assert settled(COMMAND, **given) == given


def test_importing_the_library_sets_nothing() -> None:
    assert settled("import dfrd_bench; dfrd_bench.load_results; dfrd_bench.run") == {}


@pytest.mark.parametrize(("asked", "given", "taken"), [("2", None, 2), ("2", "1", 2), (None, "1", 1)])
def test_pytorch_takes_the_threads_that_were_asked_for(asked: str | None, given: str | None, taken: int) -> None:
    """The option goes before the environment, as options do."""
    arguments = ["run", "--method", "no-such-method", *(["--threads", asked] if asked else [])]
    script = f"""
from dfrd_bench.cli.main import main
try:
    main({arguments!r})
except SystemExit as stop:
    assert stop.code == 2
import os, torch
os.environ["OMP_NUM_THREADS"] = str(torch.get_num_threads())
"""
    found = settled(script, **({} if given is None else {"OMP_NUM_THREADS": given}))
    assert found["OMP_NUM_THREADS"] == str(taken)


@pytest.mark.parametrize("command", [["run"], ["suite"], ["evaluate"], ["teacher", "train"]], ids=" ".join)
def test_no_threads_are_refused(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dfrd_bench", *command, "--threads", "0"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "--threads" in done.stderr


@pytest.mark.parametrize(
    ("files", "groups", "share"),
    [
        ({"cpu.max": "150000 100000"}, "0::/", 1.5),
        ({"cpu.max": "max 100000"}, "0::/", math.inf),
        ({"a/cpu.max": "400000 100000", "a/b/cpu.max": "max 100000"}, "0::/a/b", 4),
        ({"a/cpu.max": "50000 100000", "a/b/cpu.max": "200000 100000"}, "0::/a/b", 0.5),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, "3:cpuset:/\n1:cpu,cpuacct:/", 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "1:cpu:/", math.inf),
        ({}, "0::/gone", math.inf),
        ({}, "", math.inf),
    ],
)
def test_the_narrowest_control_group_says_how_much_time_there_is(
    tmp_path: Path, files: dict[str, str], groups: str, share: float
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    (tmp_path / "own").write_text(groups)
    assert processor_share(tmp_path, tmp_path / "own") == share


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert processor_share(tmp_path, tmp_path / "none") == math.inf


@pytest.mark.parametrize(
    ("share", "given", "count"),
    [
        (0.5, {}, "1"),
        (1.5, {}, "2"),
        (8.0, {}, None),
        (math.inf, {}, None),
        (1.5, {"OMP_NUM_THREADS": "6"}, "6"),
        (1.5, {"MKL_NUM_THREADS": "6"}, None),
    ],
)
def test_threads_are_no_more_than_the_granted_time_is_worth(
    share: float, given: dict[str, str], count: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "processors", lambda: 8)
    monkeypatch.setattr(threads, "processor_share", lambda *_: share)
    environment = dict(given)
    advise(environment)
    assert environment.get("OMP_NUM_THREADS") == count


def test_only_processors_that_the_process_may_run_on_count() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system does not let a process choose its processors")
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert processors() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert processors() == len(allowed)
