"""Small records made by hand, and the folders they would lie in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from dfrd_bench.evaluation.metrics import metrics
from dfrd_bench.problem import DatasetInfo, ThreatModel
from dfrd_bench.records.schema import (
    AttackRecord,
    DatasetRecord,
    EnvironmentRecord,
    EvaluationRecord,
    ExperimentSpec,
    Record,
    TeacherRecord,
)

Numbers = tuple[float, float, float | None]
"""average, worst, nsd."""


def make_record(
    attacks: dict[str, Numbers],
    *,
    method: str = "ferd",
    variant: str = "default",
    seed: int = 0,
    student: str = "wrn-10-1",
    dataset: str = "digits",
    classes: int = 10,
    teacher: str = "wrn-teacher",
    sha256: str = "a" * 64,
    digest: str = "d" * 64,
    eps: float = 0.2,
    kind: Any = "student",
    config: dict[str, Any] | None = None,
    parameters: dict[str, Any] | None = None,
    warnings: tuple[str, ...] = (),
    stages: dict[str, dict[str, float]] | None = None,
    sees: Any = "nothing",
    code: str | None = None,
) -> Record:
    """A record with the given (average, worst, nsd) per attack; worst_10 is worst_class + 0.01 to tell them apart.

    `stages` gives, for an attack, what stood after each of its stages.
    """
    return Record(
        created="2026-01-01T00:00:00Z",
        spec=ExperimentSpec(
            kind=kind,
            method="teacher" if kind == "teacher" else method,
            variant=variant,
            provider="dfrd-bench 0",
            config={"epochs": 2} if config is None else config,
            dataset=dataset,
            teacher=TeacherRecord(name=teacher, architecture="wrn-10-2", sha256=sha256),
            student="wrn-10-2" if kind == "teacher" else student,
            threat=ThreatModel(eps=eps, step=eps / 4),
            precision="fp32",
            seed=seed,
            sees=sees,
            code=code,
        ),
        dataset=DatasetRecord(
            info=DatasetInfo(name=dataset, shape=(1, 8, 8), class_names=tuple(map(str, range(classes)))),
            test_images=900,
            test_digest=digest,
        ),
        evaluation=EvaluationRecord(
            seed=0,
            attacks={
                name: AttackRecord(
                    parameters={"eps": eps, **(parameters or {})},
                    confusion=[[round(1000 * average)]],
                    per_class=[average],
                    average=average,
                    worst_class=worst,
                    worst_10=worst + 0.01,
                    nsd=nsd,
                    intervals={},
                    stages=(stages or {}).get(name),
                    seconds=1.0,
                )
                for name, (average, worst, nsd) in attacks.items()
            },
            worst_case=0.0,
        ),
        training=None,
        weights_sha256="e" * 64,
        parameters=1,
        environment=EnvironmentRecord(
            python="3.11", packages={}, device="cpu", threads=1, platform="linux", git_commit=None
        ),
        warnings=warnings,
    )


IMAGES = 10_000  # per class of a record that is written


def consistent(record: Record) -> Record:
    """The record with counts that give the average and, in the first class, the worst accuracy of every attack.

    NSD and all that is left follow from the counts; stages stay as they are.
    """
    classes = record.dataset.info.num_classes
    attacks, least = {}, 1.0
    for name, result in record.evaluation.attacks.items():
        right = round(result.average * IMAGES * classes)
        worst = round(min(result.worst_class, result.average) * IMAGES)
        share, more = divmod(right - worst, classes - 1)
        hits = [worst, *(share + (k < more) for k in range(classes - 1))]
        confusion = [[0] * classes for _ in hits]
        for k, count in enumerate(hits):
            confusion[k][k], confusion[k][(k + 1) % classes] = count, IMAGES - count
        found = {m: float(v) for m, v in metrics(np.array(hits), np.full(classes, IMAGES)).items()}
        found["nsd"] = None if np.isnan(found["nsd"]) else found["nsd"]
        per_class = [count / IMAGES for count in hits]
        attacks[name] = result.model_copy(update={"confusion": confusion, "per_class": per_class, **found})
        least = min(least, found["average"])
    evaluation = record.evaluation.model_copy(update={"attacks": attacks, "worst_case": least})
    dataset = record.dataset.model_copy(update={"test_images": IMAGES * classes})
    return record.model_copy(update={"evaluation": evaluation, "dataset": dataset})


def write_record(results: Path, record: Record) -> Path:
    """Put a record where a run would have left it, made `consistent`; returns the run's folder."""
    record = consistent(record)
    folder = record.spec.folder(results)
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(record.model_dump(mode="json")), encoding="utf-8")
    return folder
