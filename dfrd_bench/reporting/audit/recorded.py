"""The audit of our own records: each run by itself, against what it was computed from, and beside the runs of its table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from dfrd_bench.evaluation.audit import AuditRow, Finding, Kind, Quantity, audit, cell_name
from dfrd_bench.evaluation.contradictions import matrix_astray, metrics_astray, origin_astray, predictions_astray
from dfrd_bench.records.reading import brief
from dfrd_bench.records.schema import METRICS, Record
from dfrd_bench.reporting.evidence import Run
from dfrd_bench.reporting.tables.layout import Column


def audit_runs(runs: Sequence[Run]) -> list[Finding]:
    """Everything in some runs that breaks a rule, run by run and then table by table."""
    findings = []
    for run in runs:
        findings += [*audit([row_of(run)]), *confusion_agrees(run), *evidence_agrees(run)]
    return [*findings, *shared_by_tables(runs)]


def row_of(run: Run) -> AuditRow:
    """A run's numbers at full precision."""
    where, record = run
    numbers, per_class = {}, {}
    for attack, result in record.evaluation.attacks.items():
        per_class[attack] = tuple(value for value in result.per_class if value is not None)
        for metric in METRICS:
            value = getattr(result, metric)
            if value is not None:
                numbers[attack, metric] = Quantity(value, Column(attack, metric).show(value))
    return AuditRow(where, _label(record), record.dataset.info.num_classes, numbers, per_class)


def confusion_agrees(run: Run) -> Iterator[Finding]:
    """Every number of an attack is what its confusion matrix gives, and the matrix counts every test image."""
    for attack, result in run[1].evaluation.attacks.items():
        if text := matrix_astray(run[1], result):
            total = sum(map(sum, result.confusion))
            numbers = f"{len(result.confusion)} rows, {brief(total)} images"
            yield _finding(run, attack, "confusion", "contradictory", numbers, text)
            continue
        for metric, stored, found in metrics_astray(result):
            text = f"The confusion matrix gives another {metric.replace('_', '-')}."
            yield _finding(run, cell_name(attack, metric), "confusion", "contradictory", f"{stored}; {found}", text)


def evidence_agrees(run: Run) -> Iterator[Finding]:
    """The predictions and weights beside a record, and its folder's name, are its own, where they are."""
    folder, record = Path(run[0]), run[1]
    for text in origin_astray(folder, record):
        yield _finding(run, "record", "origin", "contradictory", "", text)
    for cell, text in predictions_astray(folder, record):
        yield _finding(run, cell, "predictions", "contradictory", "", text)


def shared_by_tables(runs: Sequence[Run]) -> Iterator[Finding]:
    """All rows of one table have the same teacher weights and the same test images."""

    def table(run: Run) -> tuple[str, str]:
        return run[1].spec.dataset, run[1].spec.teacher.name

    shared: dict[str, Callable[[Record], str]] = {
        "teacher sha256": lambda record: record.spec.teacher.sha256,
        "test digest": lambda record: record.dataset.test_digest,
    }
    for (dataset, teacher), part in groupby(sorted(runs, key=table), key=table):
        members = list(part)
        for what, value in shared.items():
            (usual, _), *others = Counter(value(record) for _, record in members).most_common()
            for run in (run for run in members if others and value(run[1]) != usual):
                numbers = f"{value(run[1])[:8]}; the others {usual[:8]}"
                text = (
                    f"The rows of a table share one {what}; this one has another than most on {dataset} from {teacher}."
                )
                yield _finding(run, what, f"same-{what.replace(' ', '-')}", "contradictory", numbers, text)


def _label(record: Record) -> str:
    spec = record.spec
    variant = "" if spec.variant == "default" else f" ({spec.variant})"
    return f"{spec.role}{variant} on {spec.student}, {spec.dataset}, seed {spec.seed}"


def _finding(run: Run, cell: str, rule: str, kind: Kind, numbers: str, sentence: str) -> Finding:
    return Finding(run[0], _label(run[1]), cell, rule, kind, numbers, sentence)
