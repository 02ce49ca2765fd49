"""Any number of methods against each other: every pair's difference under every attack, over images and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from dfrd_bench.errors import DfrdBenchError, unknown_name
from dfrd_bench.evaluation.contradictions import check_believed
from dfrd_bench.evaluation.correctness import Correctness, read_correctness
from dfrd_bench.evaluation.seeds_and_images import Between, SeedsAndImages
from dfrd_bench.evaluation.significance import LEVEL, holm
from dfrd_bench.records.schema import Record
from dfrd_bench.records.store import RECORD_FILE, find_records, load_record
from dfrd_bench.registry import METHODS
from dfrd_bench.reporting.comparison.differences import FEWEST_CLASSES
from dfrd_bench.reporting.tables.comparability import settings_of, warnings_about
from dfrd_bench.reporting.tables.layout import ATTACK_TITLES, METRIC_TITLES, Column, row_label

ASSUMED = (
    "Over test images and seeds: a hierarchical bootstrap, images drawn again for all rows at once, the seeds' spread s²/S of "
    "each row added, Student's t with Welch's degrees of freedom. It assumes that seeds are drawn independently, that the images "
    "are a sample of their classes, and that differences are about normal, which for Worst and NSD they are only roughly "
    "(docs/statistics.md)."
)
ALONE = "° A row with one seed: tested over the images alone, so that another seed may undo it."


@dataclass(frozen=True)
class Pair:
    """One difference, of row `first` minus row `second` by their places, and its p-value after Holm's correction."""

    column: Column
    first: int
    second: int
    difference: Between
    holm: float | None = None

    @property
    def mark(self) -> str:
        """* significant, ** also after Holm's correction; ° where other seeds are no part of the test."""
        stars = ""
        if self.difference.direction:
            stars = "**" if self.holm is not None and self.holm < LEVEL else "*"
        return stars + ("" if self.difference.over_seeds or self.difference.p is None else "°")


@dataclass(frozen=True)
class Matrix:
    """All pairs of some rows.

    Attributes:
        rows: what they are called.
        seeds: of each.
        means: column -> the mean over seeds of each row.
        pairs: each two rows once per column, columns in order.
        warnings: why they should not be compared; empty when all is well.
    """

    rows: tuple[str, ...]
    seeds: tuple[tuple[int, ...], ...]
    dataset: str
    images: int
    means: dict[Column, tuple[float | None, ...]]
    pairs: tuple[Pair, ...]
    warnings: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was tested, and what a sign means."""
        tested = sum(pair.difference.p is not None for pair in self.pairs)
        found = sum("*" in pair.mark for pair in self.pairs)
        left = sum("**" in pair.mark for pair in self.pairs)
        alone = (ALONE,) if any("°" in pair.mark for pair in self.pairs) else ()
        return (
            f"* p < {LEVEL}: {found} of {tested} differences, of which chance alone makes about {LEVEL * tested:.2g}; "
            f"** after Holm's correction over all of them: {left}.",
            *alone,
            ASSUMED,
        )


def members_of(names: Sequence[str], results: Path) -> list[Path]:
    """The folders of the runs that are named, each once.

    Args:
        names: runs' folders, folders with runs below, or methods, whose runs are then those below `results`.
        results: where methods' runs are.

    Raises:
        DfrdBenchError: a name is none of these, or nothing of it is there.
    """
    found: dict[Path, Path] = {}
    for name in names:
        path = Path(name)
        if (path / RECORD_FILE).exists():
            part = [path]
        elif path.is_dir():
            part = [folder for folder, record in find_records(path) if not isinstance(record, DfrdBenchError)]
        elif name in METHODS.names():
            part = [
                folder
                for folder, record in find_records(results)
                if not isinstance(record, DfrdBenchError)
                and record.spec.kind == "student"
                and record.spec.method == name
            ]
        else:
            raise DfrdBenchError(
                f"{name} is neither a run, nor a folder with runs, nor a method (`dfrd-bench list methods`)."
            )
        if not part:
            where = f" below {results}: give --results" if name in METHODS.names() else ""
            raise DfrdBenchError(f"There is no run of {name}{where}.")
        found.update({folder.resolve(): folder for folder in part})
    return list(found.values())


def compare_rows(
    folders: Sequence[Path], attacks: Sequence[str] | None = None, metrics: Sequence[str] | None = None
) -> Matrix:
    """Compare all rows that some runs make: those that differ in nothing but their seed are one.

    Args:
        folders: of the runs.
        attacks: only these; by default all that every run has.
        metrics: only these, e.g. average, worst_class, nsd.

    Raises:
        DfrdBenchError: fewer than two rows; a run without predictions of its own or with a record that is contradicted; other
            test images; no attack in common.
    """
    rows: dict[tuple[str, str], list[tuple[Path, Record]]] = {}
    for folder in folders:
        record = load_record(folder)
        check_believed(folder, record)
        rows.setdefault((settings_of(record.spec), record.spec.variant), []).append((folder, record))
    if len(rows) < 2:
        raise DfrdBenchError(
            "These runs are one method with one setting: name at least one other run, folder or method."
        )
    parts = sorted(rows.values(), key=lambda part: (part[0][1].spec.method, part[0][1].spec.variant))
    members = [sorted(part, key=lambda run: run[1].spec.seed) for part in parts]
    known = [[read_correctness(*run) for run in part] for part in members]
    _check_same_images(members, known)
    common = _common([right for part in known for right in part], attacks)
    records = [[record for _, record in part] for part in members]
    columns = [Column(attack, metric) for attack in common for metric in _metrics(records[0][0], metrics)]
    means: dict[Column, tuple[float | None, ...]] = {}
    pairs: list[Pair] = []
    for attack in common:
        right = {k: np.stack([one.right[attack] for one in part], axis=1) for k, part in enumerate(known)}
        bootstrap = SeedsAndImages(right, known[0][0].labels)
        for column in (column for column in columns if column.attack == attack):
            means[column] = tuple(bootstrap.value(k, column.metric) for k in right)
            for one, other in combinations(right, 2):
                pairs.append(Pair(column, one, other, bootstrap.between(one, other, column.metric)))
    names = _names(records)
    return Matrix(
        rows=tuple(names),
        seeds=tuple(tuple(record.spec.seed for record in part) for part in records),
        dataset=records[0][0].spec.dataset,
        images=len(known[0][0].labels),
        means=means,
        pairs=_corrected(pairs),
        warnings=warnings_about(zip(names, records, strict=True)),
    )


def _check_same_images(members: Sequence[list[tuple[Path, Record]]], known: Sequence[list[Correctness]]) -> None:
    first, where = known[0][0], members[0][0][0]
    for part, rights in zip(members, known, strict=True):
        for (folder, _), right in zip(part, rights, strict=True):
            if not right.same_images(first):
                raise DfrdBenchError(
                    f"{folder} and {where} were not tested on the same images in the same order: compare runs on one dataset."
                )


def _common(known: Sequence[Correctness], wanted: Sequence[str] | None) -> list[str]:
    """The attacks that every run has, in the papers' order."""
    shared = set.intersection(*(set(right.right) for right in known))
    for name in wanted or ():
        if name not in shared:
            raise unknown_name("attack that all these runs have", name, shared)
    if not shared:
        raise DfrdBenchError("These runs have no attack in common: evaluate some of them further.")
    kept = shared if wanted is None else set(wanted)
    return [*(name for name in ATTACK_TITLES if name in kept), *sorted(kept - ATTACK_TITLES.keys())]


def _metrics(record: Record, wanted: Sequence[str] | None) -> list[str]:
    few = record.dataset.info.num_classes < FEWEST_CLASSES
    have = [name for name in METRIC_TITLES if not (few and name == "worst_10")]
    short = {"worst": "worst_class" if few else "worst_10"}
    chosen = [short.get(name, name) for name in wanted] if wanted is not None else have
    for name in chosen:
        if name not in have:
            raise unknown_name("metric", name, have)
    return chosen


def _names(records: Sequence[Sequence[Record]]) -> list[str]:
    """What rows are called: as in tables, with student and digest where that does not tell them apart."""
    specs = [part[0].spec for part in records]
    names = [row_label(spec.kind, spec.method, spec.variant, spec.student) for spec in specs]
    if len({spec.student for spec in specs if spec.kind == "student"}) > 1:
        names = [f"{name} on {spec.student}" for name, spec in zip(names, specs, strict=True)]
    return [
        f"{name} [{spec.digest()}]" if names.count(name) > 1 else name for name, spec in zip(names, specs, strict=True)
    ]


def _corrected(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """The pairs with Holm's p-values over all that could be tested."""
    adjusted = iter(holm([pair.difference.p for pair in pairs if pair.difference.p is not None]))
    return tuple(replace(pair, holm=None if pair.difference.p is None else next(adjusted)) for pair in pairs)
