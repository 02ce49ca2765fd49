"""Observers that are asked for are told what happens, and can neither end a run nor change it."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import plugin_packages
import pytest
import tiny

from dfrd_bench.errors import Stopped
from dfrd_bench.observer import SILENT, Observer, Stops
from dfrd_bench.observers.attached import Guest, attached, together
from dfrd_bench.observers.untouched import untouched
from dfrd_bench.records.store import load_predictions
from dfrd_bench.runs.run import Finished, run

pytestmark = pytest.mark.usefixtures("few_digits")

UNKNOWN = (
    "Unknown observer 'jsonk'. Did you mean 'jsonl'? (One of your own has to be installed first: `pip install -e .` in its "
    "folder.)"
)

RUDE = """
import random
from contextlib import contextmanager

import numpy as np
import torch
from dfrd_bench.observer import Observer
from dfrd_bench.observers.base import Logger

told = []


def draw():
    random.random(), np.random.rand(3), torch.rand(3)
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)


def on_step(stage, done, total):
    told.append(stage)
    draw()


def on_epoch(epoch, numbers):
    numbers.clear()
    draw()
    if epoch == 1:
        raise SystemExit("no more")


@contextmanager
def opened(where):
    draw()
    yield Observer(on_step=on_step, on_epoch=on_epoch)
    told.append("closed")


@contextmanager
def broken(where):
    raise RuntimeError(f"no server at {where}")
    yield


rude = Logger("draws, switches and ends", opened)
lost = Logger("cannot be opened", broken)
"""


def made(results: Path, observer: Observer = SILENT) -> Finished:
    small = {"batch_size": 8, "distillation_steps": 2, "attack_steps": 2}
    return run("zskt", observer=observer, results=results, attacks="clean,pgd20", epochs=2, settings=small)


def without_times(history: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    with pytest.MonkeyPatch.context() as patch:
        tiny.cut_digits(patch)
        return made(tmp_path_factory.mktemp("alone"))


@dataclass(frozen=True)
class Watched:
    """A run that everybody looked at.

    Attributes:
        run: the run.
        told: what the observer `rude` was told.
        said: the warnings about observers.
        board: TensorBoard's folder; None where that is not installed.
        lines: the file of the second `jsonl`.
    """

    run: Finished
    told: list[str]
    said: list[str]
    board: Path | None
    lines: Path


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """With the observer `rude` of an installed plugin, which draws, switches and raises."""
    root, said = tmp_path_factory.mktemp("watched"), []
    handler = logging.Handler()
    handler.emit = lambda entry: said.append(entry.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("dfrd_bench.observers.attached")
    logger.addHandler(handler)
    board = root / "board" if find_spec("tensorboard") else None
    asked = ["jsonl", "rude", f"jsonl={root / 'deep' / 'two.jsonl'}"]
    with pytest.MonkeyPatch.context() as patch:
        tiny.cut_digits(patch)
        patch.syspath_prepend(plugin_packages.plant(root / "site", "observers", {"rude": "rude"}, RUDE))
        plugin_packages.forget()
        import dfrd_bench_planted

        with attached(SILENT, [*asked, *([f"tensorboard={board}"] if board else [])]) as observer:
            run = made(root / "results", observer)
        yield Watched(run, dfrd_bench_planted.told, said, board, root / "deep" / "two.jsonl")
    logger.removeHandler(handler)
    plugin_packages.forget()


def test_a_watched_run_gives_the_same_student_bit_for_bit(alone: Finished, watched: Watched) -> None:
    """Even where an observer draws random numbers, switches gradients off, and raises."""
    run = watched.run
    assert run.record.weights_sha256 == alone.record.weights_sha256
    assert (run.folder / "student.safetensors").read_bytes() == alone.weights.read_bytes()
    assert without_times(run.folder / "history.jsonl") == without_times(alone.folder / "history.jsonl")
    ours, theirs = load_predictions(run.folder).attacks, load_predictions(alone.folder).attacks
    assert all((ours[name] == theirs[name]).all() for name in theirs)
    assert watched.told[-1] == "closed"
    assert len(watched.told) > 1


def test_an_observer_that_raises_is_named_once_and_dropped(watched: Watched) -> None:
    assert watched.said == [
        "The observer rude is dropped, and the run goes on without it: SystemExit: no more",
    ]


def test_one_that_cannot_be_opened_is_refused_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"rude": "rude", "lost": "lost"}
    monkeypatch.syspath_prepend(plugin_packages.plant(tmp_path / "site", "observers", names, RUDE))
    plugin_packages.forget()
    run = ("run", "--method", "zskt", "--results", str(tmp_path / "results"), "--observer")
    for where, why in {
        "lost=example.org": "The observer lost cannot be opened: RuntimeError: no server at example.org",
        f"jsonl={tmp_path}": f"Cannot write {tmp_path}: Is a directory.",
        f"tensorboard={tmp_path / 'site' / 'dfrd_bench_planted.py'}": "The observer tensorboard needs TensorBoard"
        if find_spec("tensorboard") is None
        else f"Cannot write {tmp_path / 'site' / 'dfrd_bench_planted.py'}",
    }.items():
        refused = tiny.command(*run, "rude", "--observer", where)
        assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1), refused
        assert refused.err.startswith(f"Error: {why}")
    import dfrd_bench_planted

    assert dfrd_bench_planted.told == ["closed"] * 3  # and nothing else
    assert not (tmp_path / "results").exists()
    plugin_packages.forget()


def test_json_lines_say_what_history_and_record_say(alone: Finished, watched: Watched) -> None:
    lines = (watched.run.folder / "events.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    kinds = [event["event"] for event in events]
    assert (kinds[0], kinds[-1], kinds.count("epoch")) == ("start", "record", 2)
    told = [{"epoch": event["epoch"], **event["numbers"]} for event in events if event["event"] == "epoch"]
    assert told == without_times(alone.folder / "history.jsonl")
    ends = {event["attack"]: event["accuracy"] for event in events if event["event"] == "attack"}
    for name, attack in alone.record.evaluation.attacks.items():
        assert events[-1]["attacks"][name]["worst_class"] == attack.worst_class
        assert ends[name] == pytest.approx(attack.average)
    assert len(watched.lines.read_text().splitlines()) == len(lines)


def test_numbers_that_json_has_no_word_for_become_null(tmp_path: Path) -> None:
    with attached(SILENT, [f"jsonl={tmp_path / 'deep' / 'x.jsonl'}"]) as observer:
        observer.on_start(tmp_path, 1, 0)
        observer.on_epoch(0, {"loss": math.nan, "p/0": math.inf, "p/1": 0.5})
    line = (tmp_path / "deep" / "x.jsonl").read_text().splitlines()[-1]
    assert json.loads(line)["numbers"] == {"loss": None, "p/0": None, "p/1": 0.5}


def test_tensorboard_reads_back_what_the_history_says(alone: Finished, watched: Watched) -> None:
    pytest.importorskip("tensorboard", reason="the extra [tensorboard] is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(watched.board)).Reload()
    history = without_times(alone.folder / "history.jsonl")
    losses = board.Scalars("training/loss")
    assert [(point.step, point.value) for point in losses] == [
        (line["epoch"] + 1, pytest.approx(line["loss"], rel=1e-6)) for line in history
    ]
    (worst,) = board.Scalars("pgd20/worst_class")
    assert (worst.step, worst.value) == (2, pytest.approx(alone.record.evaluation.attacks["pgd20"].worst_class))


def test_a_finished_run_is_told_to_an_observer_without_being_made_again(alone: Finished) -> None:
    with attached(SILENT, ["jsonl"]) as observer:
        again = made(alone.folder.parents[4], observer)
    assert again.cached
    (line,) = (again.folder / "events.jsonl").read_text().splitlines()
    assert json.loads(line)["event"] == "record"


def test_ctrl_c_while_an_observer_works_ends_the_run() -> None:
    def stopped(epoch: int, numbers: dict[str, float]) -> None:
        raise Stopped(15)

    guest = Guest("x", Observer(on_epoch=stopped))
    with pytest.raises(Stopped):
        together(SILENT, [guest]).on_epoch(0, {})
    assert not guest.dropped


def test_only_the_runs_own_observer_decides_whether_it_goes_on() -> None:
    class Always(Stops):
        wanted = True

    both = together(SILENT, [Guest("x", Observer(stops=Always()))])
    assert both.stops is SILENT.stops
    assert both.on_step is SILENT.on_step  # which nobody wants: a step costs nothing


def test_an_error_of_the_run_passes_an_observer_that_swallows_all(caplog: pytest.LogCaptureFixture) -> None:
    class Swallowing:
        def __enter__(self) -> Observer:
            return Observer()

        def __exit__(self, *error: object) -> bool:
            return True

    from dfrd_bench.observers.base import Logger
    from dfrd_bench.registry import OBSERVERS

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OBSERVERS, "get", lambda name: Logger("swallows", lambda where: Swallowing()))
        with pytest.raises(ZeroDivisionError), attached(SILENT, ["swallowing"]):
            _ = 1 / 0


def test_what_is_done_untouched_moves_no_random_state(unmoved_rng: None) -> None:
    import random

    import numpy as np
    import torch

    with untouched():
        random.random()
        np.random.rand(2)  # noqa: NPY002
        torch.rand(2)
        torch.set_num_threads(2)
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("jsonk", UNKNOWN),
        ("jsonl={file}/x.jsonl", "Cannot write {file}: File exists."),
        ("tensorboard={file}", "Cannot write {file}: File exists."),
    ],
)
def test_wrong_use_is_refused_before_anything_is_trained(asked: str, said: str, tmp_path: Path) -> None:
    if "tensorboard" in asked:
        pytest.importorskip("tensorboard", reason="the extra [tensorboard] is not installed")
    file = tmp_path / "file"
    file.touch()
    results = tmp_path / "results"
    done = tiny.command("run", "--method", "zskt", "--results", results, "--observer", asked.format(file=file))
    assert (done.code, done.err) == (2, f"Error: {said.format(file=file)}\n")
    assert not results.exists()


def test_without_tensorboard_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dfrd_bench.observers.tensorboard.find_spec", lambda name: None)
    done = tiny.command("run", "--method", "zskt", "--results", tmp_path / "r", "--observer", "tensorboard")
    assert done.code == 2
    assert done.err.endswith("pip install 'dfrd-bench[tensorboard]'.\n")


def test_a_dry_run_knows_the_names_of_observers() -> None:
    done = tiny.command("run", "--method", "zskt", "--dry-run", "--observer", "jsonk")
    assert (done.code, done.err) == (2, f"Error: {UNKNOWN}\n")


def test_the_observer_of_the_tutorial_writes_what_it_says(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "adding-an-observer.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], names)
    with names["csv"].open(str(tmp_path / "losses.csv")) as observer:
        observer.on_epoch(0, {"loss": 0.5})
        observer.on_epoch(1, {"loss": 0.25})
    assert (tmp_path / "losses.csv").read_text() == "0,0.5\n1,0.25\n"
