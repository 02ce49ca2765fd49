"""The audit of our own records: each run by itself, against what it was computed from, and beside the runs of its table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.audit import AuditRow, Finding, Kind, Quantity, audit, cell_name
from dfrd_bench.records.schema import AttackRecord, Predictions, Record
from dfrd_bench.records.store import PREDICTIONS_FILE, load_predictions
from dfrd_bench.reporting.evidence import Run
from dfrd_bench.reporting.tables.layout import Column

METRICS = ("average", "worst_class", "worst_10", "nsd")
CLOSE = 1e-9


def audit_runs(runs: Sequence[Run]) -> list[Finding]:
    """Everything in some runs that breaks a rule, run by run and then table by table."""
    findings = []
    for run in runs:
        findings += [*audit([row_of(run)]), *confusion_agrees(run), *predictions_agree(run)]
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
    classes, images = run[1].dataset.info.num_classes, run[1].dataset.test_images
    for attack, result in run[1].evaluation.attacks.items():
        counts = result.confusion
        total = sum(map(sum, counts))
        if [len(row) for row in counts] != [classes] * classes or total != images or min(map(min, counts)) < 0:
            text = f"The confusion matrix does not count {images} images of {classes} classes."
            yield _finding(run, attack, "confusion", "contradictory", f"{len(counts)} rows, {total} images", text)
            continue
        for metric, stored, found in _recomputed(result):
            text = f"The confusion matrix gives another {metric.replace('_', '-')}."
            yield _finding(run, cell_name(attack, metric), "confusion", "contradictory", f"{stored}; {found}", text)


def predictions_agree(run: Run) -> Iterator[Finding]:
    """The predictions beside a record, where they are, give its confusion matrices."""
    from dfrd_bench.evaluation.metrics import confusion_matrix

    folder, record = Path(run[0]), run[1]
    if not (folder / PREDICTIONS_FILE).is_file():
        return
    try:
        found: Predictions = load_predictions(folder)
    except DfrdBenchError as error:
        yield _finding(run, PREDICTIONS_FILE, "predictions", "contradictory", "", str(error))
        return
    for attack, result in record.evaluation.attacks.items():
        try:
            counts = confusion_matrix(found.labels, found.attacks[attack], record.dataset.info.num_classes).tolist()
        except (KeyError, ValueError):
            counts = None
        if counts != result.confusion:
            text = f"The predictions of {attack} are missing or not those that the confusion matrix counts."
            yield _finding(run, attack, "predictions", "contradictory", "", text)


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


def _recomputed(result: AttackRecord) -> Iterator[tuple[str, object, object]]:
    """(metric, stored, recomputed) for each metric that the confusion matrix contradicts."""
    import numpy as np

    from dfrd_bench.evaluation.metrics import metrics, per_class_accuracy

    confusion = np.array(result.confusion)
    found = {name: float(value) for name, value in metrics(confusion.diagonal(), confusion.sum(axis=1)).items()}
    for name, value in found.items():
        stored = getattr(result, name)
        undefined = bool(np.isnan(value))
        if (stored is None) != undefined or (stored is not None and abs(stored - value) > CLOSE):
            yield name, stored, None if undefined else value
    per_class = per_class_accuracy(confusion)
    if len(per_class) != len(result.per_class) or any(
        (one is None) != (other is None) or abs((one or 0) - (other or 0)) > CLOSE
        for one, other in zip(result.per_class, per_class, strict=True)
    ):
        yield "per_class", result.per_class, per_class


def _label(record: Record) -> str:
    spec = record.spec
    variant = "" if spec.variant == "default" else f" ({spec.variant})"
    return f"{spec.method}{variant} on {spec.student}, {spec.dataset}, seed {spec.seed}"


def _finding(run: Run, cell: str, rule: str, kind: Kind, numbers: str, sentence: str) -> Finding:
    return Finding(run[0], _label(run[1]), cell, rule, kind, numbers, sentence)
