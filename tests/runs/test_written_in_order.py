"""A run or an evaluation that is killed, or whose disk is full, at any moment of writing: the next command makes it whole."""

from __future__ import annotations

import gc
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import tiny
from dfrd_bench.benchmarks.reliability.points import Act, KilledError, at_every_write, dying_at, full_from
from dfrd_bench.benchmarks.reliability.trials import differing, left
from dfrd_bench.methods.data_free.zskt import ZSKT

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.observer import SILENT, Observer
from dfrd_bench.runs.reevaluation import evaluate_run
from dfrd_bench.runs.run import Finished, run

pytestmark = pytest.mark.usefixtures("few_digits")

SETTINGS = {"batch_size": 4, "distillation_steps": 1, "attack_steps": 1}


def make(results: Path, observer: Observer = SILENT) -> Finished:
    return run("zskt", epochs=2, settings=SETTINGS, attacks=["clean"], results=results, observer=observer)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave rubbish where it is, for a test is short."""
    monkeypatch.setattr(gc, "collect", lambda: 0)


@contextmanager
def moments(root: Path, act: Act, said: list[str]) -> Iterator[None]:
    """Everything that is written below a folder, said as "open record.json"; and an act at each."""

    def both(number: int, what: str, path: str) -> None:
        said.append(f"{what} {Path(path).name.split('.tmp')[0]}")
        act(number, what, path)

    with at_every_write(root, both):
        yield


def nothing(number: int, what: str, path: str) -> None:
    """Lets everything be written."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], list[str]]:
    """What an undisturbed run leaves, and the order in which it wrote."""
    root, said = tmp_path_factory.mktemp("whole"), list[str]()
    with pytest.MonkeyPatch.context() as patch:
        tiny.cut_digits(patch)
        with moments(root, nothing, said):
            make(root)
    return left(root), said


def last(said: list[str], what: str) -> int:
    """When a file took its place for the last time."""
    return max(number for number, text in enumerate(said) if text == f"os.rename {what}")


def test_weights_come_first_then_predictions_then_the_record(whole: tuple[dict[str, object], list[str]]) -> None:
    order = ("method.pt", "student.safetensors", "samples.npz", "predictions.npz", "record.json")
    times = [last(whole[1], name) for name in order]
    assert times == sorted(times)
    assert {Path(name).name for name in whole[0]} == {*order[1:], "history.jsonl"}


def as_killed(root: Path, copies: Path) -> Act:
    """Copies what a process that is killed before a write leaves, each state once."""
    known: list[dict[str, bytes]] = []

    def act(number: int, what: str, path: str) -> None:
        files = {re.sub("[0-9a-f]{8}.tmp", "tmp", str(x)): x.read_bytes() for x in root.rglob("*") if x.is_file()}
        if (state := {name: data for name, data in files.items() if not name.endswith("lock")}) not in known:
            known.append(state)
            shutil.copytree(root, copies / f"{number}")

    return act


def test_killed_at_any_write_and_called_again_leaves_what_an_undisturbed_run_does(
    tmp_path: Path, whole: tuple[dict[str, object], list[str]]
) -> None:
    root, copies, said = tmp_path / "root", tmp_path / "copies", whole[1]
    with at_every_write(root, as_killed(root, copies)):
        make(root)
    states = sorted(copies.iterdir())
    assert len(states) > 20
    for state in states:
        make(state)
        assert differing(state, whole[0]) == [], f"killed before {said[int(state.name)]}"


def test_a_full_disk_at_any_write_is_one_line_and_costs_nothing_that_was_trained(
    tmp_path: Path, whole: tuple[dict[str, object], list[str]]
) -> None:
    known, said = whole
    for moment in range(5, len(said), 11):
        root = tmp_path / f"{moment}"
        with suppress(DfrdBenchError), at_every_write(root, full_from(moment)):  # a warning where only the rest fails
            make(root)
        make(root)
        assert differing(root, known, but=("samples.npz",)) == [], f"full before {said[moment]}"


def test_a_folder_that_vanishes_is_an_error_and_never_a_record_without_weights(
    tmp_path: Path, whole: tuple[dict[str, object], list[str]]
) -> None:
    known, said = whole
    begun = said.index("os.rename history.jsonl")
    for moment in range(begun, last(said, "record.json"), 13):
        root, away = tmp_path / f"{moment}", tmp_path / f"{moment}-away"

        def vanish(number: int, what: str, path: str, now: int = moment, here: Path = root, there: Path = away) -> None:
            if number == now:
                here.rename(there)

        with pytest.raises(DfrdBenchError), at_every_write(root, vanish):
            make(root)
        assert not list(tmp_path.glob(f"{moment}*/**/record.json")), f"vanished before {said[moment]}"
        make(root)
        assert differing(root, known) == []
        shutil.rmtree(away)


def test_an_evaluation_killed_at_any_write_and_called_again_leaves_what_an_undisturbed_one_does(tmp_path: Path) -> None:
    start, undisturbed, said = tmp_path / "start", tmp_path / "whole", list[str]()
    make(start)

    def evaluate(root: Path) -> object:
        return evaluate_run(next(root.rglob("record.json")).parent, attacks=["fgsm"])

    shutil.copytree(start, undisturbed)
    with moments(undisturbed, as_killed(undisturbed, tmp_path / "copies"), said):
        evaluate(undisturbed)
    known = left(undisturbed)
    for state in sorted((tmp_path / "copies").iterdir()):
        evaluate(state)
        assert differing(state, known) == [], f"killed before {said[int(state.name)]}"


def stop_after_training(monkeypatch: pytest.MonkeyPatch, root: Path, before: str, said: list[str]) -> None:
    """Kill a run just before a file takes its place for the last time."""
    with pytest.raises(KilledError), at_every_write(root, dying_at(last(said, before))):
        make(root)
    monkeypatch.setattr(ZSKT, "train_epoch", lambda *_: pytest.fail("trained again"))


def test_a_kill_between_predictions_and_record_is_said_and_neither_training_nor_attacks_are_done_again(
    tmp_path: Path,
    whole: tuple[dict[str, object], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop_after_training(monkeypatch, tmp_path, "record.json", whole[1])
    (folder,) = {path.parent for path in tmp_path.rglob("predictions.npz")}
    assert "an evaluation was interrupted" in tiny.command("evaluate", folder).err
    attacked: list[str] = []
    make(tmp_path, Observer(on_attack=lambda attack, *_: attacked.append(attack)))
    assert attacked == []
    assert "an evaluation was interrupted" in caplog.text
    assert differing(tmp_path, whole[0]) == []


def test_what_was_killed_behind_the_record_is_cleared_by_evaluate_too(
    tmp_path: Path, whole: tuple[dict[str, object], list[str]]
) -> None:
    said = whole[1]
    with pytest.raises(KilledError), at_every_write(tmp_path, dying_at(last(said, "record.json") + 1)):
        make(tmp_path)
    folder = next(tmp_path.rglob("record.json")).parent
    assert {"state", "lock", "checkpoint"} <= {path.name for path in folder.iterdir()}
    assert tiny.command("evaluate", folder, "--attacks", "clean").code == 0
    assert differing(tmp_path, whole[0]) == []


@pytest.mark.parametrize("fails", ["draw", "sample"])
def test_pictures_that_fail_are_a_warning_and_the_run_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fails: str
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise ValueError("no font has this")

    place: dict[str, tuple[object, str]] = {"sample": (ZSKT, "sample")}
    if fails == "draw":
        monkeypatch.setattr("dfrd_bench.reporting.figures.samples.draw_samples", failing)
    else:
        monkeypatch.setattr(*place[fails], failing)
    finished = make(tmp_path)
    assert (finished.folder / "record.json").exists()
    assert "ValueError: no font has this" in caplog.text
    assert (finished.folder / "samples.npz").exists() is (fails == "draw")


def test_a_second_process_that_waited_for_the_lock_does_not_train_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record appears between the first look and the lock."""
    from dfrd_bench.runs import run as life

    taken: Callable[..., object] = life.alone_in
    first: list[Finished] = []

    @contextmanager
    def late(folder: Path) -> Iterator[object]:
        if not first:
            first.append(None)  # type: ignore[arg-type]
            first[0] = make(tmp_path)
            monkeypatch.setattr(ZSKT, "train_epoch", lambda *_: pytest.fail("trained again"))
        with taken(folder) as alone:  # type: ignore[attr-defined]
            yield alone

    monkeypatch.setattr(life, "alone_in", late)
    second = make(tmp_path)
    assert (first[0].cached, second.cached) == (False, True)
    assert second.record == first[0].record
