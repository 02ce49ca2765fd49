"""A real Ray cluster of two nodes: one is lost while it trains, a driver is stopped, a node has another version."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import plugin_packages
import psutil
import pytest
import tiny

from dfrd_bench.execution.ray import launcher
from dfrd_bench.records.store import load_record

cluster_utils = pytest.importorskip("ray.cluster_utils", reason="needs Ray: pip install 'dfrd-bench[ray]'")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals")

PATIENCE = 180.0
PLUGIN = """
import pathlib, time
from dfrd_bench.methods.data_free.zskt import ZSKT

class Slow(ZSKT):
    \"\"\"Waits in its third epoch while it is held, and takes its time where it shall.\"\"\"
    def train_epoch(self, epoch):
        numbers = super().train_epoch(epoch)
        with pathlib.Path(f"epochs-{self.problem.seed}").open("a") as file:
            file.write(f"{epoch}\\n")
        while epoch == 2 and pathlib.Path("hold").exists():
            time.sleep(0.05)
        if pathlib.Path("slow").exists():
            time.sleep(0.3)
        return numbers
"""
EPOCHS, MANY = 5, 500
WORDS = ("--attacks", "clean", "--test-images", "20", "--device", "cpu", "--quiet")
NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a plugin lies that workers find too."""
    return plugin_packages.plant(tmp_path_factory.mktemp("plugin"), "methods", {"slow": "Slow"}, PLUGIN)


@pytest.fixture(scope="module")
def cluster(site: Path) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(site))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        found = cluster_utils.Cluster(initialize_head=True, head_node_args=NODE)
        yield found
        found.shutdown()


@pytest.fixture
def place(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a suite of slow runs."""
    for name, epochs in (("mine", EPOCHS), ("long", MANY)):
        settings = f"epochs: {epochs}, batch_size: 8, distillation_steps: 2, attack_steps: 2"
        text = f"title: Mine\nruns:\n  - {{method: slow, settings: {{{settings}}}}}\n"
        (tmp_path / f"{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setattr(launcher, "CHECKPOINT_EVERY", 0.5)
    plugin_packages.forget()
    return tmp_path


def on(cluster: Any, *more: str, suite: str = "mine.yaml") -> list[str]:
    return ["suite", suite, *WORDS, "--launcher", "ray", "--address", cluster.address, *more]


def when(condition: Callable[[], bool], action: Callable[[], None]) -> threading.Thread:
    """Do something as soon as something is so, in another thread."""

    def waiting() -> None:
        until = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > until:
                return
            time.sleep(0.05)
        action()

    thread = threading.Thread(target=waiting)
    thread.start()
    return thread


def test_a_node_with_another_version_is_refused_and_named_before_anything_is_begun(
    cluster: Any, place: Path, tmp_path: Path
) -> None:
    other = plugin_packages.plant(tmp_path / "other", "methods", {}, "", module="torch")  # says that it is 1.5
    node = cluster.add_node(**{**NODE, "num_cpus": 0}, env_vars={"PYTHONPATH": str(other)})
    try:
        outcome = tiny.command(*on(cluster))
    finally:
        cluster.remove_node(node)
    assert outcome.code == 2
    assert f"torch is 1.5 there, not {version('torch')}" in outcome.err
    assert f"Error: Ray's node {node.node_ip_address} cannot make these runs:" in outcome.err
    assert "dfrd-bench-planted is missing there" in outcome.err or "dfrd_bench_planted is missing there" in outcome.err
    assert outcome.err.count("\n") == 1
    assert not [*place.rglob("log")]


def test_a_driver_that_is_stopped_has_what_its_workers_came_to_and_leaves_none_of_them(
    cluster: Any, place: Path
) -> None:
    (place / "slow").touch()
    command = [sys.executable, "-m", "dfrd_bench", *on(cluster, suite="long.yaml")]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    begun = place / "epochs-0"
    stop = when(begun.exists, lambda: (time.sleep(1), driver.send_signal(signal.SIGTERM)))
    _, err = driver.communicate(timeout=PATIENCE)
    stop.join()
    assert driver.returncode == 128 + signal.SIGTERM, err
    assert "Stopped by SIGTERM. The same command goes on" in err
    told = tiny.command("suite", "long.yaml", *WORDS[:-1], "--status").out
    done = len(begun.read_text().split())
    assert 0 < done < MANY
    assert f"training, epoch {done}/{MANY}" in told  # the last epoch too, not only what came back before
    assert told.splitlines()[-1] == "1 runs: 0 done, 0 running, 1 stopped, 0 failed, 0 missing"
    assert [path.name for path in place.glob("results/**/checkpoint/*.pt")]
    assert not [
        process for process in psutil.process_iter(["cmdline"]) if "dfrd-bench-ray-" in str(process.info["cmdline"])
    ]


def test_runs_of_a_node_that_is_lost_go_on_elsewhere_and_are_those_of_one_process_to_the_bit(
    cluster: Any, place: Path
) -> None:
    node = cluster.add_node(**NODE)
    (place / "hold").touch()

    def lose_it() -> None:
        cluster.remove_node(node, allow_graceful=False)
        (place / "hold").unlink()

    loss = when(lambda: len([*place.glob("results/**/method.pt")]) == 2, lose_it)
    outcome = tiny.command(*[word for word in on(cluster, "--seeds", "0-1") if word != "--quiet"])
    loss.join()
    assert outcome.code == 0, outcome.err
    assert len(outcome.out.splitlines()) == 3  # two folders and how to compare: nothing of Ray's
    assert outcome.err.count("was lost. It is begun again") == 1
    assert outcome.err.count("finished;") == 2
    logs = "".join(path.read_text() for path in place.rglob("log"))
    assert logs.count("(going on after epoch ") == 1
    trained = [(place / f"epochs-{seed}").read_text().split() for seed in (0, 1)]
    assert sorted(map(len, trained))[0] == EPOCHS
    assert max(map(len, trained)) < 2 * EPOCHS  # at most what had not come back
    assert tiny.command("suite", "mine.yaml", *WORDS, "--seeds", "0-1", "--results", "whole").code == 0
    for whole in place.glob("whole/**/record.json"):
        launched = place / "results" / whole.relative_to(place / "whole")
        one, other = load_record(launched.parent), load_record(whole.parent)
        assert one.weights_sha256 == other.weights_sha256
        assert one.evaluation.attacks["clean"].confusion == other.evaluation.attacks["clean"].confusion
        assert tiny.files_below(launched.parent) == tiny.files_below(whole.parent)
        for name in ("student.safetensors", "predictions.npz", "samples.npz"):
            assert (launched.parent / name).read_bytes() == (whole.parent / name).read_bytes()


def test_an_address_where_nothing_answers_is_one_line(cluster: Any, place: Path) -> None:
    outcome = tiny.command("suite", "mine.yaml", *WORDS, "--launcher", "ray", "--address", "127.0.0.1:9")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "Error: There is no Ray cluster at 127.0.0.1:9: Connection refused.\n"
