"""`index.json`: what a site shows, for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dfrd_bench._version import __version__
from dfrd_bench.records.schema import METRICS
from dfrd_bench.reporting.site.boards import Board
from dfrd_bench.reporting.site.collecting import SiteRun
from dfrd_bench.reporting.tables.tracks import TRACKS

FORMAT = "dfrd-bench report"
FORMAT_VERSION = 1


def index_of(
    boards: Sequence[Board],
    runs: Sequence[SiteRun],
    by_record: Mapping[int, SiteRun],
    left_out: Sequence[str],
    files: Sequence[str],
    made: str,
) -> dict[str, Any]:
    """All that a site shows, as plain values; accuracies are fractions.

    Args:
        boards: its leaderboards.
        runs: its runs.
        by_record: the site's run of each record, by the record's `id`.
        left_out: a sentence for each record that is not shown.
        files: every file of the site.
        made: when it was made.
    """
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "made": made,
        "by": f"dfrd-bench {__version__}",
        "left_out": list(left_out),
        "runs": [_run(run) for run in runs],
        "leaderboards": [_board(board, by_record) for board in boards],
        "files": sorted(files),
    }


def _run(run: SiteRun) -> dict[str, Any]:
    record, spec = run.record, run.record.spec
    return {
        **{"page": f"{run.page}.html", "folder": run.shown, "hash": spec.digest(), "kind": spec.kind},
        **{"dataset": spec.dataset, "teacher": spec.teacher.name, "student": spec.student, "method": spec.role},
        **{"variant": spec.variant, "seed": spec.seed, "track": TRACKS[spec.sees], "provider": spec.provider},
        **{"superseded": run.superseded, "warnings": list(record.warnings), "created": record.created},
        "weights_sha256": record.weights_sha256,
        "worst_case": record.evaluation.worst_case,
        "best_known": record.evaluation.worst_case if run.known is None else run.known.accuracy,
        "sweeps": [
            {"attack": sweep.attack, "eps": sweep.eps, "points": [point.model_dump() for point in sweep.points]}
            for sweep in run.swept.sweeps
        ],
        "training_seconds": None if record.training is None else record.training.seconds,
        "attacks": {
            name: {
                **{metric: getattr(result, metric) for metric in METRICS},
                "per_class": list(result.per_class),
                "intervals": {k: None if v is None else list(v) for k, v in result.intervals.items()},
            }
            for name, result in record.evaluation.attacks.items()
        },
    }


def _board(board: Board, by_record: Mapping[int, SiteRun]) -> dict[str, Any]:
    dataset, teacher, student, track = board.key
    rows = []
    for place, row in enumerate(board.rows):
        count = board.ranks.get(place)
        rows.append(
            {
                **{"label": row.label, "kind": row.kind, "method": row.method, "variant": row.variant},
                "runs": [f"{by_record[id(record)].page}.html" for record in row.records],
                "rank": count.rank if count else None,
                "borda_share": count.share if count else None,
                "flattered": row.flattered,
                "numbers": {
                    column.key: {"mean": cell.mean, "std": cell.std, "interval": cell.interval, "mark": cell.mark}
                    for column, cell in row.cells.items()
                    if cell.mean is not None
                },
            }
        )
    return {
        **{"page": f"{board.page}.html", "dataset": dataset, "teacher": teacher, "student": student, "track": track},
        **{"warnings": list(board.table.warnings), "rows": rows},
    }
