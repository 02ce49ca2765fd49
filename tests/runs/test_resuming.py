"""Checkpoints: what they bring back, and whose they are."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from dfrd_bench.errors import DfrdBenchError, out_of_memory
from dfrd_bench.method import Resumable
from dfrd_bench.observer import SILENT, Observer
from dfrd_bench.records.alone import alone_in
from dfrd_bench.records.schema import TrainingRecord
from dfrd_bench.runs.checkpoint import Checkpoint, History
from dfrd_bench.runs.epochs import train_epochs
from dfrd_bench.runs.run import Finished, run


class Walk(Resumable):
    """A random walk: a tensor and a generator."""

    def __init__(self) -> None:
        self.rng = torch.Generator().manual_seed(3)
        self.place = torch.zeros(())

    def step(self) -> float:
        self.place = self.place + torch.randn((), generator=self.rng)
        return float(self.place)


def test_what_follows_is_what_would_have_followed(tmp_path: Path) -> None:
    walk, later = Walk(), Walk()
    walk.step()
    Checkpoint(tmp_path).save(walk, tiny.CPU, 1, 2.5, 3)
    assert Checkpoint(tmp_path).restore(later, tiny.CPU) == (1, 2.5, 3)
    assert [later.step() for _ in range(3)] == [walk.step() for _ in range(3)]


def test_a_checkpoint_of_another_kind_of_device_is_left_alone_with_what_to_do(tmp_path: Path) -> None:
    Checkpoint(tmp_path).save(Walk(), tiny.CPU, 1, 0.0, 0)
    with pytest.raises(DfrdBenchError, match="made on cpu: go on with --device cpu"):
        Checkpoint(tmp_path).restore(Walk(), torch.device("cuda"))


def test_memory_that_runs_out_is_not_called_damage(tmp_path: Path) -> None:
    class Large(Walk):
        def load_state_dict(self, state: object) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory")

    Checkpoint(tmp_path).save(Walk(), tiny.CPU, 1, 0.0, 0)
    with pytest.raises(torch.OutOfMemoryError):
        Checkpoint(tmp_path).restore(Large(), tiny.CPU)


def strict(text: str) -> list[dict[str, Any]]:
    """Lines of JSON, which has no NaN and no infinity."""

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def test_the_history_is_json_whatever_a_loss_is(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"epoch": 0, "loss": NaN}\n')  # as version 0.1.0 wrote it
    history = History(path)
    history.truncate(1)
    history.append({"epoch": 1, "loss": float("inf"), "other": -math.inf, "fine": 0.5})
    expected = [{"epoch": 0, "loss": None}, {"epoch": 1, "loss": None, "other": None, "fine": 0.5}]
    assert strict(path.read_text()) == expected
    assert history.truncate(2) == expected


def test_a_number_that_is_none_is_not_among_the_last(tmp_path: Path) -> None:
    class Diverged(Walk):
        progress: Any = None

        def train_epoch(self, epoch: int) -> dict[str, float]:
            return {"loss": math.nan, "place": self.step()}

    def train(epochs: int) -> TrainingRecord:
        return train_epochs(Diverged(), epochs, settings={}, folder=tmp_path, device=tiny.CPU, observer=SILENT)

    assert train(2).last.keys() == {"place"}
    assert train(2).last.keys() == {"place"}  # read back from the file


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("x"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (KeyError("memory"), False),
    ],
)
def test_errors_that_mean_that_memory_ran_out(error: BaseException, expected: bool) -> None:
    assert out_of_memory(error) is expected


def test_one_process_at_a_time_works_in_a_folder_and_a_refused_one_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "run"
    with alone_in(folder):
        with pytest.raises(DfrdBenchError, match="Another process is at work in"), alone_in(folder):
            pytest.fail("both are at work")
        (folder / "state").touch()
    assert tiny.files_below(tmp_path) == ["results/run/state"]
    with alone_in(folder):  # free again
        pass
    with pytest.raises(ValueError, match="refused"), alone_in(tmp_path / "other" / "run"):
        raise ValueError("refused")
    assert not (tmp_path / "other").exists()


def test_the_second_of_two_equal_runs_is_refused_and_the_first_ends_well(tmp_path: Path, few_digits: None) -> None:
    settings = {"batch_size": 8, "distillation_steps": 2, "attack_steps": 2}
    refused: list[str] = []

    def once_more(observer: Observer = SILENT) -> Finished:
        return run("zskt", epochs=2, settings=settings, attacks=["clean"], results=tmp_path, observer=observer)

    def meanwhile(epoch: int, numbers: dict[str, float]) -> None:
        with pytest.raises(DfrdBenchError) as error:
            once_more()
        refused.append(str(error.value))

    first = once_more(Observer(on_epoch=meanwhile))
    assert len(refused) == 2
    assert refused[0].startswith(f"Another process is at work in {first.folder}: ")
    assert len((first.folder / "history.jsonl").read_text().splitlines()) == 2
    assert not (first.folder / "lock").exists()


@pytest.mark.parametrize(
    ("stops", "says"),
    [
        ([(2, 1), (4, 1)], None),
        ([(2, 1), (4, 2)], "with 1 thread up to epoch 2, from there on with 2 threads:"),
        (
            [(1, 2), (2, 1), (4, 2)],
            "with 2 threads up to epoch 1, with 1 thread up to epoch 2, from there on with 2 threads:",
        ),
        ([(4, 1), (4, 2)], "with 1 thread up to epoch 4, from there on with 2 threads:"),
    ],
)
def test_a_training_that_goes_on_with_other_threads_says_so_in_its_cautions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stops: list[tuple[int, int]], says: str | None
) -> None:
    class Walking(Walk):
        cautions: tuple[str, ...] = ()
        progress: Any = None

        def train_epoch(self, epoch: int) -> dict[str, float]:
            return {"place": self.step()}

    for until, threads in stops:
        monkeypatch.setattr("torch.get_num_threads", lambda threads=threads: threads)
        walk = Walking()
        train_epochs(walk, until, settings={}, folder=tmp_path, device=tiny.CPU, observer=SILENT)
    if says is None:
        assert walk.cautions == ()
    else:
        (caution,) = walk.cautions
        assert says in caution
