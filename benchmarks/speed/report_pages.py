"""How long a site of many records takes: `python -m dfrd_bench.benchmarks.speed.report_pages --records 1000 FOLDER`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.summary import attack_record, evaluation_record
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
from dfrd_bench.records.store import WEIGHTS_FILE, save_record
from dfrd_bench.records.weights import sha256_of

ATTACKS = {"clean": 0.95, "fgsm": 0.75, "pgd20": 0.7, "cw": 0.68, "autoattack": 0.6}
METHODS = ("zskt", "cmi", "deepinv", "fast", "dfhl", "ferd")
STUDENTS = ("wrn-10-1", "wrn-10-2", "resnet-18")
SEEDS, CLASSES, IMAGES, EPOCHS, WEIGHTS = 3, 10, 1000, 40, 300_000


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--records", default=1000, show_default=True, help="How many records are made up.")
def main(folder: Path, records: int) -> None:
    """Make up records below FOLDER/results, make the site of them in FOLDER/site, and say how long that took.

    The records are of no run: their numbers are drawn at random, and name their dataset "made-up".
    """
    results, site = folder / "results", folder / "site"
    if folder.exists() and any(folder.iterdir()):
        raise DfrdBenchError(f"{folder} is not empty: name a new folder.")
    for number, record in enumerate(made_up(records)):
        _write(results, *record, np.random.default_rng(number))
    wall, processor = _made(results, site)
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    click.echo(f"{records:,} records: {wall:.1f} s (processor {processor:.1f} s), {size / 2**20:.1f} MiB")


def made_up(count: int) -> Iterator[tuple[Record, Predictions]]:
    """Records that hold together, of as many datasets, students, methods, variants and seeds as it takes."""
    rng = np.random.default_rng(0)
    labels = np.arange(IMAGES) % CLASSES
    for number in range(count):
        rest, seed = divmod(number, SEEDS)
        rest, method = divmod(rest, len(METHODS))
        rest, student = divmod(rest, len(STUDENTS))
        dataset, variant = rest % 4, rest // 4
        skill = rng.normal(0, 0.05) + rng.normal(0, 0.03, CLASSES)
        predicted = {}
        hardness = rng.random(IMAGES)
        for attack, base in ATTACKS.items():
            right = hardness < np.clip(base + skill, 0.02, 0.99)[labels]
            predicted[attack] = np.where(right, labels, (labels + rng.integers(1, CLASSES, IMAGES)) % CLASSES)
        spec = _spec(METHODS[method], variant, f"made-up-{dataset}", STUDENTS[student], seed)
        yield _record(spec, labels, predicted), Predictions(labels, predicted)


def _spec(method: str, variant: int, dataset: str, student: str, seed: int) -> ExperimentSpec:
    return ExperimentSpec(
        method=method,
        variant=f"width={variant}" if variant else "default",
        provider="made-up 1.0.0",
        config={"epochs": EPOCHS, "width": variant},
        dataset=dataset,
        teacher=TeacherRecord(name="made-up-teacher", architecture="wrn-10-2", sha256="0" * 64),
        student=student,
        threat=ThreatModel(eps=0.2, step=0.05),
        precision="fp32",
        seed=seed,
    )


def _record(spec: ExperimentSpec, labels: Any, predicted: dict[str, Any]) -> Record:
    attacks = {name: attack_record(labels, found, CLASSES, {}, 1.0) for name, found in predicted.items()}
    info = DatasetInfo(name=spec.dataset, shape=(1, 8, 8), class_names=tuple(map(str, range(CLASSES))))
    return Record(
        created="2026-01-01T00:00:00+00:00",
        spec=spec,
        dataset=DatasetRecord(info=info, test_images=IMAGES, test_digest=spec.dataset.ljust(64, "0")),
        evaluation=evaluation_record(labels, predicted, attacks, 0),
        training=TrainingRecord(epochs=EPOCHS, seconds=400.0 + spec.seed, peak_memory_bytes=2**30, last={}),
        weights_sha256="0" * 64,
        parameters=75_000,
        environment=EnvironmentRecord(
            python="3.11", packages={}, device="cpu", threads=1, platform="made-up", git_commit=None
        ),
    )


def _write(results: Path, record: Record, predictions: Predictions, rng: np.random.Generator) -> None:
    """A run's folder, with weights and a history as large as those of a small student."""
    folder = record.spec.folder(results)
    folder.mkdir(parents=True)
    (folder / WEIGHTS_FILE).write_bytes(rng.bytes(WEIGHTS))
    own = record.model_copy(update={"weights_sha256": sha256_of(folder / WEIGHTS_FILE)})
    series = ("loss", "loss_adv", "loss_oh", "loss_bn", "lr", *(f"p/{k}" for k in range(CLASSES)))
    lines = [
        json.dumps({"epoch": k, **dict(zip(series, rng.random(len(series)).tolist(), strict=True))})
        for k in range(EPOCHS)
    ]
    (folder / "history.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    save_record(folder, own, predictions)


def _made(results: Path, site: Path) -> tuple[float, float]:
    """Wall and processor seconds of the command, in a process of its own."""
    before, begun = os.times(), time.perf_counter()
    command = [sys.executable, "-m", "dfrd_bench", "report", "--quiet", "-o", str(site), str(results)]
    subprocess.run(command, check=True)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - begun, spent


if __name__ == "__main__":
    main()
