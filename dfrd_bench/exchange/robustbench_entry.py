"""A record as RobustBench's model_info has it: one JSON file for its leaderboard."""

from __future__ import annotations

import re
from typing import Any

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.best_known import BestKnown
from dfrd_bench.records.schema import NO_TEACHER, Record
from dfrd_bench.registry import METHODS
from dfrd_bench.reporting.tables.comparability import level
from dfrd_bench.reporting.tables.flattered import why_flattered

LEADERBOARDS = {"cifar10": 10_000, "cifar100": 10_000}
"""Datasets that have an L∞ leaderboard there and are evaluated on here, with their test images."""
ARCHITECTURES = {
    "wrn": "WideResNet",
    "resnet": "ResNet",
    "preactresnet": "PreActResNet",
    "mobilenet": "MobileNet",
}
TO_FILL_IN = ("link", "name", "authors", "venue", "additional_data")


def why_no_entry(record: Record) -> str:
    """Why RobustBench has no place for a record, as a sentence; "" where it has."""
    data = record.dataset
    if data.info.name not in LEADERBOARDS:
        return f"RobustBench has no leaderboard for {data.info.name} (but for {', '.join(LEADERBOARDS)})."
    if data.test_images != LEADERBOARDS[data.info.name]:
        return f"RobustBench asks for all {LEADERBOARDS[data.info.name]:,} test images; this record is of {data.test_images:,}."
    lacking = [name for name in ("clean", "autoattack") if name not in record.evaluation.attacks]
    if lacking:
        return f"RobustBench's entry needs {' and '.join(lacking)}, which `dfrd-bench evaluate RUN` adds."
    return ""


def robustbench_entry(
    record: Record, best: BestKnown, *, authors: str | None = None, additional_data: bool | None = None
) -> dict[str, Any]:
    """What `model_info/DATASET/Linf/NAME.json` says, by RobustBench's keys (its `utils.ModelInfo`, and `external`).

    Accuracies are in percent, as text. Both `reported` and `autoattack_acc` are this record's AutoAttack. `external`, by which
    the leaderboard ranks where it is there, is the best known robust accuracy, where others lowered it.

    Args:
        record: of the run.
        best: what is known of it.
        authors: as the paper names them; no record knows.
        additional_data: whether more than the dataset's training images went into it, its teacher's training included.

    Raises:
        DfrdBenchError: RobustBench has no place for it.
    """
    if why := why_no_entry(record):
        raise DfrdBenchError(why)
    spec, attacks = record.spec, record.evaluation.attacks
    reference = METHODS.get(spec.method).reference if spec.method in METHODS.names() else None
    robust = _percent(attacks["autoattack"].average)
    entry = {
        "link": _link(reference.link) if reference else None,
        "name": reference.title if reference else None,
        "authors": authors,
        "additional_data": additional_data,
        "number_forward_passes": 1,
        "dataset": record.dataset.info.name,
        "venue": reference.venue if reference else None,
        "architecture": architecture(spec.student),
        "eps": level(spec.threat.eps),
        "clean_acc": _percent(attacks["clean"].average),
        "reported": robust,
        "autoattack_acc": robust,
        "footnote": " ".join(_footnotes(record, best)),
    }
    if best.lowered:
        entry["external"] = _percent(best.accuracy)
    return entry


def to_fill_in(entry: dict[str, Any]) -> list[str]:
    """The keys of an entry that only its authors know, and that are still empty."""
    return [key for key in TO_FILL_IN if entry.get(key) is None]


def architecture(student: str) -> str:
    """An architecture as RobustBench writes it, e.g. wrn-34-10 as WideResNet-34-10; a name it does not know as it is."""
    if found := re.fullmatch(r"([a-z]+)[-:](.+)", student):
        family = ARCHITECTURES.get(found[1])
        if family is not None:
            return f"{family}-{found[2].upper() if found[2].startswith('v') else found[2]}"
    return student


def _footnotes(record: Record, best: BestKnown) -> list[str]:
    spec = record.spec
    data = "without any training image" if spec.sees == "nothing" else "with the training images"
    taught = "Trained" if spec.teacher == NO_TEACHER else f"Distilled from {spec.teacher.name}"
    lines = [f"{taught} {data} by {spec.method} ({spec.provider})."]
    if best.lowered:
        lines.append(f"{_percent(best.accuracy)}% robust accuracy is due to evaluations by {_names(best)}.")
    if signs := why_flattered([record]):
        lines.append(f"Gradient attacks flatter it ({signs}).")
    return lines


def _names(best: BestKnown) -> str:
    return ", ".join(dict.fromkeys(one.record.by for one in best.contests if one.broken))


def _link(link: str) -> str:
    return f"https://arxiv.org/abs/{link.removeprefix('arXiv:')}" if link.startswith("arXiv:") else link


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"
