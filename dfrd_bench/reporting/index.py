"""An index of results: a row per run and attack, for spreadsheets and programs that need not know what a record is."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from dfrd_bench.records.schema import METRICS
from dfrd_bench.reporting.codes import is_by_other_code
from dfrd_bench.reporting.escaping import cell
from dfrd_bench.reporting.evidence import Run

COLUMNS = (
    *("run", "hash", "kind", "method", "variant", "provider", "sees"),
    *("dataset", "teacher", "student", "eps", "precision", "seed", "parameters", "weights_sha256"),
    *("epochs", "training_seconds", "test_images", "attack", *METRICS),
    *("target_entropy", "attack_seconds", "device", "threads", "created", "warnings", "code", "other_code"),
)


def index(runs: Iterable[Run], attacks: Collection[str] | None = None) -> str:
    """CSV with `COLUMNS`; accuracies are fractions at full precision, and what is undefined or not known is empty.

    Args:
        runs: folders and records; sorted here, so that the same records give the same text.
        attacks: only these; all that were run when None.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for run in sorted(runs, key=lambda run: run[0]):
        for row in _rows(run):
            if attacks is None or row["attack"] in attacks:
                writer.writerow({name: "" if value is None else cell(value) for name, value in row.items()})
    return out.getvalue()


def _rows(run: Run) -> Iterator[dict[str, Any]]:
    folder, record = run
    spec, training = record.spec, record.training
    common = {
        **{"run": folder, "hash": spec.digest(), "kind": spec.kind, "method": spec.role, "variant": spec.variant},
        **{"provider": spec.provider, "sees": spec.sees, "dataset": spec.dataset, "teacher": spec.teacher.name},
        **{"student": spec.student, "eps": spec.threat.eps, "precision": spec.precision, "seed": spec.seed},
        **{"parameters": record.parameters, "weights_sha256": record.weights_sha256, "created": record.created},
        "epochs": training.epochs if training else None,
        "training_seconds": training.seconds if training else None,
        "test_images": record.dataset.test_images,
        "warnings": len(record.warnings),
        **{"code": spec.code, "other_code": None if spec.code is None else is_by_other_code(spec.method, spec.code)},
    }
    for name, attack in record.evaluation.attacks.items():
        place = attack.environment or record.environment
        yield {
            **common,
            **{"attack": name, "average": attack.average, "worst_class": attack.worst_class},
            **{"worst_10": attack.worst_10, "nsd": attack.nsd, "target_entropy": attack.target_entropy},
            **{"attack_seconds": attack.seconds, "device": place.device, "threads": place.threads},
        }
