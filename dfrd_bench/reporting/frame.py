"""All records below a folder as one long-form frame."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.best_known import BestKnown, best_known
from dfrd_bench.evaluation.contradictions import contradictions, disbelieved
from dfrd_bench.records.schema import METRICS, Record
from dfrd_bench.records.store import find_records
from dfrd_bench.reporting.codes import short

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)
FRAME_COLUMNS = [
    *("dataset", "teacher", "student", "kind", "method", "variant", "sees", "seed", "num_classes"),
    *("attack", "metric", "value", "low", "high", "run", "code"),
]


def load_results(results: str | Path) -> pd.DataFrame:
    """All records below a folder as one long-form frame, a row per run, attack and metric.

    `code` is the digest of the code that made a run (eight digits), empty where its record names none. `sees` is what the
    method saw of the dataset: "nothing", or "training images", the other track of the tables. Values are fractions; nsd is NaN
    where undefined; `low` and `high` bound the 95% interval. The metric `worst_case` belongs to the attack "all", and so does, of
    a contested run, `best_known`: what everybody's attacks leave (docs/exchange.md). Records that are invalid, or that what they
    were made from contradicts, are skipped with a warning in the log.

    Raises:
        DfrdBenchError: the folder does not exist.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for folder, record in find_records(Path(results)):
        if isinstance(record, DfrdBenchError):
            log.warning("Skipped: %s", record)
        elif wrong := contradictions(folder, record):
            log.warning("Skipped: %s", disbelieved(folder, wrong))
        else:
            best = best_known(folder, record)
            for text in best.doubted:
                log.warning("A contest is left out: %s", text)
            rows.extend(record_rows(record, str(folder), best))
    return pd.DataFrame(rows, columns=FRAME_COLUMNS)


def record_rows(record: Record, run: str, best: BestKnown) -> Iterator[dict[str, Any]]:
    """The rows of one record in the long-form frame, and what everybody's attacks leave of it."""
    spec = record.spec
    common = {
        **{"dataset": spec.dataset, "teacher": spec.teacher.name, "student": spec.student, "kind": spec.kind},
        **{"method": spec.role, "variant": spec.variant, "sees": spec.sees, "seed": spec.seed, "run": run},
        "num_classes": record.dataset.info.num_classes,
        "code": short(spec.code) if spec.code else "",
    }
    for attack, result in record.evaluation.attacks.items():
        for metric in METRICS:
            value = getattr(result, metric)
            low, high = result.intervals.get(metric) or (None, None)
            yield {**common, "attack": attack, "metric": metric, "value": value, "low": low, "high": high}
    everything = {
        "worst_case": record.evaluation.worst_case,
        **({"best_known": best.accuracy} if best.contests else {}),
    }
    for metric, value in everything.items():
        yield {**common, "attack": "all", "metric": metric, "value": value, "low": None, "high": None}
