"""How long a user waits before anything is computed: importing, help, lists, the first training step, a table of many records."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.problem import DatasetInfo, ThreatModel
from dfrd_bench.records.schema import (
    DatasetRecord,
    EnvironmentRecord,
    ExperimentSpec,
    Predictions,
    Record,
    TeacherRecord,
    TrainingRecord,
)
from dfrd_bench.records.store import save_record

RECORDS = 1000
METHODS = ("cmi", "deepinv", "dfhl", "fast", "ferd", "zskt")
ATTACKS = ("clean", "fgsm", "pgd20", "cw", "autoattack")
CLASSES = 10
IMAGES_PER_CLASS = 90


FIRST_STEP = """
import os, sys
from contextlib import contextmanager
from dfrd_bench.cli import main, progress
from dfrd_bench.observer import Observer
@contextmanager
def watching(quiet):
    yield Observer(on_step=lambda stage, done, total: done and os._exit(0))
progress.watching = watching
main.main(["run", "--method", "ferd", "--dataset", "digits", "--results", sys.argv[1]])
"""
"""The first command of the README, until the first step of its training is done."""
RUN_FOLDER = "run"


def commands(folder: Path) -> dict[str, list[str]]:
    """What is started, by name; the records of the table are below `folder`."""
    texts = ("--help", "run --help", "list methods", "list students", "list attacks", "list datasets", "show ferd")
    return {
        "python -c pass": ["-c", "pass"],
        "import dfrd_bench": ["-c", "import dfrd_bench"],
        **{f"dfrd-bench {text}": ["-m", "dfrd_bench", *text.split()] for text in texts},
        "dfrd-bench run …, to the first step": ["-c", FIRST_STEP, str(folder / RUN_FOLDER)],
        f"dfrd-bench table, {RECORDS:,} records": ["-m", "dfrd_bench", "table", str(folder / "results")],
    }


def measure(
    *, repetitions: int, records: int = RECORDS, on_turn: Callable[[], None] = lambda: None
) -> dict[str, list[tuple[float, float]]]:
    """Wall and processor seconds of each command, in a new process each, in turn; the first round does not count.

    Args:
        repetitions: rounds that count.
        records: how many the table is of.
        on_turn: told after every command.

    Raises:
        DfrdBenchError: a command fails.
    """
    seconds: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_records(Path(folder) / "results", records)
        for number in range(repetitions + 1):
            for name, arguments in commands(Path(folder)).items():
                spent = timed(name, [sys.executable, *arguments])
                shutil.rmtree(Path(folder) / RUN_FOLDER, ignore_errors=True)
                if number:
                    seconds.setdefault(name, []).append(spent)
                on_turn()
    return seconds


def timed(name: str, command: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of a process.

    Raises:
        DfrdBenchError: it fails.
    """
    before, began = psutil.Process().cpu_times(), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    wall, after = time.perf_counter() - began, psutil.Process().cpu_times()
    if done.returncode:
        raise DfrdBenchError(f"`{name}` failed: {(done.stderr.strip() or '?').splitlines()[-1]}")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, used


def rows(seconds: dict[str, list[tuple[float, float]]]) -> list[dict[str, Any]]:
    """Medians of each command, and the least and the most of its wall time."""
    found = []
    for name, spent in seconds.items():
        wall, processor = zip(*spent, strict=True)
        line = {"command": name, "wall": median(wall), "processor": median(processor)}
        found.append({**line, "least wall": min(wall), "most wall": max(wall)})
    return found


def write_records(results: Path, count: int) -> None:
    """Invented records of the right schema, with predictions that fit: methods in turn, seeds going up."""
    for number in range(count):
        record, predictions = invented(METHODS[number % len(METHODS)], seed=number // len(METHODS))
        folder = record.spec.folder(results)
        folder.mkdir(parents=True, exist_ok=True)
        save_record(folder, record, predictions)


def invented(method: str, seed: int) -> tuple[Record, Predictions]:
    """A record of nothing, and predictions that give its numbers."""
    from dfrd_bench.evaluation.summary import attack_record, evaluation_record

    labels = np.arange(CLASSES).repeat(IMAGES_PER_CLASS)
    place = np.tile(np.arange(IMAGES_PER_CLASS), CLASSES)  # of an image in its class
    predictions = {}
    for number, attack in enumerate(ATTACKS):
        right = 85 - 9 * number - (7 * labels + 13 * seed) % 30  # of each class's images
        predictions[attack] = np.where(place < right, labels, (labels + 1) % CLASSES)
    found = {
        attack: attack_record(labels, predicted, CLASSES, {"norm": "Linf", "eps": 0.2, "step": 0.05}, 1.0)
        for attack, predicted in predictions.items()
    }
    record = Record(
        created="2026-01-01T00:00:00Z",
        spec=ExperimentSpec(
            method=method,
            provider="dfrd-bench 0",
            config={f"setting_{n}": n / 7 for n in range(40)},
            dataset="digits",
            teacher=TeacherRecord(name="invented", architecture="wrn-10-2", sha256="a" * 64),
            student="wrn-10-1",
            threat=ThreatModel(eps=0.2, step=0.05),
            precision="fp32",
            seed=seed,
        ),
        dataset=DatasetRecord(
            info=DatasetInfo(name="digits", shape=(1, 8, 8), class_names=tuple("0123456789"), mirrored=False),
            test_images=len(labels),
            test_digest="d" * 64,
        ),
        evaluation=evaluation_record(labels, predictions, found, seed=0),
        training=TrainingRecord(epochs=40, seconds=100.0, peak_memory_bytes=10**9, last={"loss": 0.5}),
        weights_sha256="e" * 64,
        parameters=77_000,
        environment=EnvironmentRecord(
            python="3.11", packages={}, device="cpu", threads=1, platform="invented", git_commit=None
        ),
    )
    return record, Predictions(labels, predictions)
