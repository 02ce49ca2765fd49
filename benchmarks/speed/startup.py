"""How long a user waits before anything is computed: importing, help, a listing, and a table of a thousand records."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from dfrd_bench.errors import DfrdBenchError

RECORDS = 1000
METHODS = ("cmi", "deepinv", "dfhl", "fast", "ferd", "zskt")
ATTACKS = ("clean", "fgsm", "pgd20", "cw", "autoattack")
CLASSES = 10


def commands(results: Path) -> dict[str, list[str]]:
    """What is started, by name."""
    program = [sys.executable, "-m", "dfrd_bench"]
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import dfrd_bench": [sys.executable, "-c", "import dfrd_bench"],
        "--help": [*program, "--help"],
        "list methods": [*program, "list", "methods"],
        f"table, {RECORDS:,} records": [*program, "table", str(results), "--format", "markdown"],
    }


def measure(
    *, repetitions: int, records: int = RECORDS, on_turn: Callable[[], None] = lambda: None
) -> dict[str, list[float]]:
    """Wall seconds of each command, in turn; the first round does not count.

    Args:
        repetitions: rounds that count.
        records: how many the table is of.
        on_turn: told after every command.

    Raises:
        DfrdBenchError: a command fails.
    """
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_records(Path(folder), records)
        for number in range(repetitions + 1):
            for name, command in commands(Path(folder)).items():
                began = time.perf_counter()
                done = subprocess.run(command, capture_output=True, text=True)
                spent = time.perf_counter() - began
                if done.returncode:
                    raise DfrdBenchError(f"`{name}` failed: {(done.stderr.strip() or '?').splitlines()[-1]}")
                if number:
                    seconds.setdefault(name, []).append(spent)
                on_turn()
    return seconds


def rows(seconds: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Median, least and most of each command."""
    return [
        {"command": name, "seconds": median(found), "least": min(found), "most": max(found)}
        for name, found in seconds.items()
    ]


def write_records(results: Path, count: int) -> None:
    """Invented records of the right schema: methods in turn, seeds going up."""
    import json

    for number in range(count):
        record = invented(METHODS[number % len(METHODS)], seed=number // len(METHODS))
        folder = record.spec.folder(results)
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps(record.model_dump(mode="json"), indent=1), encoding="utf-8")


def invented(method: str, seed: int) -> Any:
    """A record of nothing."""
    from dfrd_bench.problem import DatasetInfo, ThreatModel
    from dfrd_bench.records.schema import (
        AttackRecord,
        DatasetRecord,
        EnvironmentRecord,
        EvaluationRecord,
        ExperimentSpec,
        Record,
        TeacherRecord,
        TrainingRecord,
    )

    each = 90
    right = [40 + (7 * k + 13 * seed) % 45 for k in range(CLASSES)]  # of each class's images
    confusion = [
        [r if j == k else (each - r) * (j == (k + 1) % CLASSES) for j in range(CLASSES)] for k, r in enumerate(right)
    ]
    shares = [r / each for r in right]
    average = sum(shares) / CLASSES
    attack = AttackRecord(
        parameters={"norm": "Linf", "eps": 0.2, "step": 0.05},
        confusion=confusion,
        per_class=shares,
        average=average,
        worst_class=min(shares),
        worst_10=min(shares),
        nsd=0.1,
        target_entropy=1.0,
        intervals={"average": (average - 0.02, average + 0.02), "worst_class": (0.3, 0.5)},
        seconds=1.0,
    )
    return Record(
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
            test_images=CLASSES * each,
            test_digest="d" * 64,
        ),
        evaluation=EvaluationRecord(seed=0, attacks=dict.fromkeys(ATTACKS, attack), worst_case=min(shares)),
        training=TrainingRecord(epochs=40, seconds=100.0, peak_memory_bytes=10**9, last={"loss": 0.5}),
        weights_sha256="e" * 64,
        parameters=77_000,
        environment=EnvironmentRecord(
            python="3.11", packages={}, device="cpu", threads=1, platform="invented", git_commit=None
        ),
    )
