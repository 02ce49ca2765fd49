"""A results folder for tests of the site: two methods, two seeds, a teacher, a superseded run, and names that mean harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from measured_runs import CLASSES, LABELS, measured, right_on

from dfrd_bench.records.schema import Predictions, Record
from dfrd_bench.records.store import load_predictions, load_record, save_record
from dfrd_bench.records.sweeps import SweepPoint, SweepRecord, save_sweep

EVIL = "</script><script>window.harmed=1</script><img src=x onerror=window.harmed=1>'\"&{{7*7}}\u202e"
EVIL_ATTACK = "<b>'\"onerror=1 ]]>"
TEACHER = "digits-wrn-10-2"
CONFIG = {"epochs": 2, "batch_size": 8}
WRONG = {"clean": 30, "pgd20": 200, "autoattack": 260}


def right(more: int = 0, *, start: int = 0) -> dict[str, np.ndarray]:
    """Which images are right under three attacks, with some more wrong under each."""
    return {name: right_on(wrong + more, start=start) for name, wrong in WRONG.items()}


def ordinary(results: Path) -> None:
    """Runs as anybody's: FERD and Fast with two seeds each, their teacher, and one of FERD by an older version."""
    for seed in (0, 1):
        measured(results, right(5 * seed), method="ferd", seed=seed, config=CONFIG, teacher=TEACHER)
        where, _ = measured(
            results,
            right(60 + seed),
            method="fast",
            seed=seed,
            config=CONFIG,
            teacher=TEACHER,
            warnings=("Beware of it.",),
        )
        swept(where, last=0.0 if seed else 0.25)
    lines = [{"epoch": k, "seconds": 1.0, "loss": 1 / (k + 1), "p/0": 0.5, "p/1": 0.5} for k in range(3)]
    (Path(where) / "history.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    measured(results, right(-20), kind="teacher", teacher=TEACHER)
    _again(
        results,
        measured(results / "scratch", right(90), method="ferd", config=CONFIG, teacher=TEACHER),
        provider="dfrd-bench 0.1.0",
    )


def swept(where: str, *, last: float, attack: str = "pgd20") -> SweepRecord:
    """Keep a sweep over ε beside a run: what its record says at 0 and at its own ε, and what is left at twice that."""
    record = load_record(Path(where))
    attacks, eps = record.evaluation.attacks, record.spec.threat.eps
    left = {0.0: attacks["clean"].average, eps: attacks["pgd20"].average, 2 * eps: last}
    sweep = SweepRecord(
        created="2026-01-01T00:00:00Z",
        attack=attack,
        provider="dfrd-bench 0",
        eps=eps,
        seed=record.evaluation.seed,
        points=tuple(SweepPoint(eps=level, average=average, worst_class=0) for level, average in left.items()),
        weights_sha256=record.weights_sha256,
        test_digest=record.dataset.test_digest,
        environment=record.environment,
    )
    save_sweep(Path(where), sweep)
    return sweep


def harmful(results: Path) -> None:
    """Two runs of which every name and text is markup, script, template or worse."""
    found = {**right(), EVIL_ATTACK: right_on(100)}
    for seed in (0, 1):
        run = measured(results / "scratch", found, seed=seed, warnings=(EVIL,))
        teacher = run[1].spec.teacher.model_copy(update={"name": EVIL, "architecture": EVIL})
        names = dict.fromkeys(("dataset", "method", "variant", "provider", "student"), EVIL)
        folder = _again(results, run, config={EVIL: EVIL}, teacher=teacher, **names)
        line = {"epoch": 0, EVIL: 1.0, f"{EVIL.replace('/', '')}/0": 1.0}
        (folder / "history.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")


def _again(results: Path, run: tuple[str, Record], **changed: Any) -> Path:
    """A run with another spec, and class names as bad as that; it leaves where it was first."""
    first, record = run
    spec = record.spec.model_copy(update=changed)
    names = tuple(f"{k}{EVIL if 'dataset' in changed else ''}" for k in range(CLASSES))
    info = record.dataset.info.model_copy(update={"class_names": names, "name": spec.dataset})
    record = record.model_copy(update={"spec": spec, "dataset": record.dataset.model_copy(update={"info": info})})
    folder = spec.folder(results)
    folder.mkdir(parents=True, exist_ok=True)
    save_record(folder, record, Predictions(LABELS, load_predictions(Path(first)).attacks))
    for path in Path(first).iterdir():
        path.unlink()
    return folder
