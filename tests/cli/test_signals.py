"""Signals, sent to real processes: what they leave, what they say, and that the same command goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import plugin_packages
import pytest
import tiny
import torch

from dfrd_bench.cli.signals import Signals, listening
from dfrd_bench.cli.worker import unblock_signals
from dfrd_bench.errors import Interrupted, Stopped, asked_to_stop
from dfrd_bench.records.arrays import read_arrays
from dfrd_bench.records.store import load_record

PATIENCE = 60.0
SLOW = """
import pathlib, time
from dfrd_bench.methods.data_free.zskt import ZSKT

class Slow(ZSKT):
    \"\"\"Says that an epoch has begun, and takes its time.\"\"\"
    def train_epoch(self, epoch):
        numbers = super().train_epoch(epoch)
        pathlib.Path("epoch").write_text(str(epoch))
        if not pathlib.Path("quick").exists():
            time.sleep(0.5)
        return numbers

class Deaf(ZSKT):
    \"\"\"Takes any wish to stop for an error that it knows better about.\"\"\"
    def train_epoch(self, epoch):
        while True:
            try:
                pathlib.Path("epoch").write_text(str(epoch))
                time.sleep(60)
            except BaseException:
                pathlib.Path("heard").touch()
"""
RUN = (
    *("run", "--epochs", "4", "--set", "batch_size=8", "--set", "distillation_steps=2", "--set", "attack_steps=2"),
    *("--attacks", "clean", "--test-images", "20", "--results", "results", "--quiet", "--method"),
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sends signals")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return plugin_packages.plant(tmp_path / "site", "methods", {"slow": "Slow", "deaf": "Deaf"}, SLOW)


def started(folder: Path, *args: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dfrd_bench", *args]
    environment = {**os.environ, "PYTHONPATH": str(folder / "site")}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def when(process: subprocess.Popen[str], there: Path) -> None:
    """Wait until a file is there."""
    until = time.monotonic() + PATIENCE
    while not there.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)


def stopped(folder: Path, args: Sequence[str], there: str, *signals: signal.Signals) -> tuple[int, str]:
    """Exit code and stderr of a command that is sent signals when a file is there."""
    process = started(folder, *args)
    when(process, folder / there)
    for number in signals:
        process.send_signal(number)
    _, err = process.communicate(timeout=PATIENCE)
    return process.returncode, err


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1"])
def test_a_signal_in_an_epoch_ends_the_run_after_it_with_a_checkpoint(site: Path, tmp_path: Path, name: str) -> None:
    number = signal.Signals[name]
    code, err = stopped(tmp_path, (*RUN, "slow"), "epoch", number)
    assert code == {"SIGTERM": 143, "SIGHUP": 129, "SIGUSR1": 138}[name] == 128 + number
    assert err == f"Stopped by {name}. The same command goes on from the last checkpoint; finished results are kept.\n"
    (checkpoint,) = tmp_path.rglob("method.pt")
    assert torch.load(checkpoint, weights_only=True)["epochs_done"] == int((tmp_path / "epoch").read_text()) + 1


def test_a_run_that_a_signal_stopped_ends_as_if_there_had_been_none(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stopped(tmp_path, (*RUN, "slow"), "epoch", signal.SIGTERM)[0] == 143
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(site)
    plugin_packages.forget()
    Path("quick").touch()
    assert tiny.command(*RUN, "slow").code == tiny.command(*RUN, "slow", "--results", "whole").code == 0
    plugin_packages.forget()
    stop, whole = (folder(tmp_path / name) for name in ("results", "whole"))
    assert load_record(stop).weights_sha256 == load_record(whole).weights_sha256
    attacks = [load_record(one).evaluation.attacks["clean"] for one in (stop, whole)]
    assert attacks[0].confusion == attacks[1].confusion
    assert tiny.files_below(stop) == tiny.files_below(whole)


def folder(results: Path) -> Path:
    (path,) = results.rglob("record.json")
    return path.parent


def test_a_signal_within_autoattack_keeps_its_verdicts(tmp_path: Path) -> None:
    evaluation = ("evaluate", "--teacher", "digits-wrn-10-2", "--attacks", "autoattack", "--test-images", "10")
    args = (*evaluation, "--results", "results", "--quiet")
    process = started(tmp_path, *args)
    until = time.monotonic() + PATIENCE
    while not (kept := [*tmp_path.rglob("autoattack.npz")]):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    assert err.count("\n") == 1
    verdicts = read_arrays(kept[0], "key")
    assert "finished" not in verdicts
    assert not [*tmp_path.rglob("record.json")]
    assert len(verdicts["predictions"]) == 10
    assert "pending" in verdicts or len(verdicts["accuracies"]) > 1  # it is past the beginning


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_is_one_line_and_pressing_it_again_is_quiet(site: Path, tmp_path: Path, times: int) -> None:
    code, err = stopped(tmp_path, (*RUN, "slow"), "epoch", *[signal.SIGINT] * times)
    assert code == 130
    assert err.strip() == "Stopped. The same command goes on from the last checkpoint; finished results are kept."


def test_a_plugin_that_does_not_stop_is_ended_by_the_third_ctrl_c(site: Path, tmp_path: Path) -> None:
    process = started(tmp_path, *RUN, "deaf")
    when(process, tmp_path / "epoch")
    process.send_signal(signal.SIGINT)
    when(process, tmp_path / "heard")
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)  # two that come at once are one
    assert process.wait(PATIENCE) == 130
    assert "Traceback" not in process.communicate()[1]


@pytest.fixture
def usual() -> Iterator[None]:
    """Handlers as they were, afterwards."""
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("usual")
class TestListening:
    def test_a_signal_that_was_to_be_ignored_is(self) -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        with listening() as signals:
            signal.raise_signal(signal.SIGHUP)
            assert not signals.wanted

    def test_handlers_come_back(self) -> None:
        before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        with listening():
            assert signal.getsignal(signal.SIGTERM) != before[0]
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before

    def test_a_system_without_hangups_has_the_others(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Windows."""
        for name in ("SIGHUP", "SIGUSR1"):
            monkeypatch.delattr(signal, name)
        with pytest.raises(Stopped), listening():
            signal.raise_signal(signal.SIGTERM)

    def test_outside_the_main_thread_nothing_is_touched(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = signal.getsignal(signal.SIGTERM)
        monkeypatch.setattr("threading.current_thread", object)
        with listening():
            assert signal.getsignal(signal.SIGTERM) == before

    def test_ctrl_c_does_not_wait_for_a_safe_point_and_others_do(self) -> None:
        with listening() as signals, signals.deferred():
            signal.raise_signal(signal.SIGTERM)
            signals_wanted = signals.wanted
            with pytest.raises(Interrupted):
                signal.raise_signal(signal.SIGINT)
        assert signals_wanted

    def test_where_nothing_is_to_be_kept_the_work_ends_at_once(self) -> None:
        with pytest.raises(Stopped) as caught, listening():
            signal.raise_signal(signal.SIGTERM)
        assert not isinstance(caught.value, Exception)

    def test_a_key_that_nobody_pressed_is_an_error(self) -> None:
        assert asked_to_stop(KeyboardInterrupt())  # under Python's own handler it may be Ctrl-C
        with listening():
            assert not asked_to_stop(KeyboardInterrupt())
            assert asked_to_stop(Interrupted(signal.SIGINT))
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does in the background
        assert not asked_to_stop(KeyboardInterrupt())

    def test_no_safe_point_ends_what_nobody_wants_to_end(self) -> None:
        Signals().safe_point()


def test_a_command_that_keeps_nothing_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def entries(*_: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("went on")

    monkeypatch.setattr("dfrd_bench.cli.listing._entries", entries)
    assert tiny.command("list", "methods").code == 143


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals cannot be blocked here")
def test_a_launchers_worker_hears_what_whoever_began_it_has_blocked() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGUSR2})
    try:
        unblock_signals()
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGINT, signal.SIGUSR2} == {signal.SIGUSR2}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
