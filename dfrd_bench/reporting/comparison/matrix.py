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
from dfrd_bench.records.store import load_record
from dfrd_bench.records.suites import Suite
from dfrd_bench.reporting.codes import beside_todays
from dfrd_bench.reporting.comparison.differences import FEWEST_CLASSES
from dfrd_bench.reporting.comparison.members import members_of_suite
from dfrd_bench.reporting.comparison.naming import about_codes, marked_names, names_of, order_of
from dfrd_bench.reporting.evidence import Run
from dfrd_bench.reporting.found import without_copies
from dfrd_bench.reporting.tables.comparability import settings_of, warnings_about
from dfrd_bench.reporting.tables.layout import ATTACK_TITLES, METRIC_TITLES, Column

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
        codes: by which code each row was made, where that is not its method's of today, see `beside_todays`.
        absent: sentences about what might be looked for here and is not compared.
    """

    rows: tuple[str, ...]
    seeds: tuple[tuple[int, ...], ...]
    dataset: str
    images: int
    means: dict[Column, tuple[float | None, ...]]
    pairs: tuple[Pair, ...]
    warnings: tuple[str, ...]
    codes: tuple[str, ...]
    absent: tuple[str, ...] = ()

    @property
    def marked_rows(self) -> list[str]:
        """What the rows are called, with the tables' mark behind those that are not by today's code."""
        return marked_names(self.rows, self.codes)

    @property
    def head(self) -> str:
        """What is compared: on which images, and the seeds of each row."""
        rows = zip(self.rows, self.seeds, strict=True)
        seeds = ", ".join(f"{name}: {', '.join(map(str, seeds))}" for name, seeds in rows)
        return f"Row minus column, on {self.images} test images of {self.dataset}, the same for all. Seeds of {seeds}."

    @property
    def about_codes(self) -> tuple[str, ...]:
        """What that mark means, in a line; none where no row has it."""
        return about_codes(self.rows, self.codes)

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
            *self.about_codes,
            *self.absent,
            ASSUMED,
        )


def compare_rows(
    folders: Sequence[Path],
    attacks: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    suite: Suite | None = None,
) -> Matrix:
    """Compare all rows that some runs make: those that differ in nothing but their seed are one.

    Args:
        folders: of the runs.
        attacks: only these; by default all that every run has.
        metrics: only these, e.g. average, worst_class, nsd.
        suite: only its rows, in its order; by default all, by name.

    Raises:
        DfrdBenchError: fewer than two rows; a run without predictions of its own or with a record that is contradicted; other
            test images; no attack in common.
    """
    runs, absent = _runs_in(folders, suite)
    parts: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        parts.setdefault((settings_of(run[1].spec), run[1].spec.variant), []).append(run)
    if len(parts) < 2:
        raise DfrdBenchError(
            "These runs are one method with one setting: name at least one other run, folder or method."
        )
    members = sorted(parts.values(), key=lambda part: order_of(part[0][1].spec, suite))
    members = [sorted(part, key=lambda run: run[1].spec.seed) for part in members]
    known = [[read_correctness(Path(where), record) for where, record in part] for part in members]
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
    specs = [part[0].spec for part in records]
    names = names_of(specs, students=len({spec.student for spec in specs if spec.kind == "student"}) > 1)
    return Matrix(
        rows=tuple(names),
        seeds=tuple(tuple(record.spec.seed for record in part) for part in records),
        dataset=records[0][0].spec.dataset,
        images=len(known[0][0].labels),
        means=means,
        pairs=_corrected(pairs),
        warnings=warnings_about(zip(names, records, strict=True)),
        codes=tuple(map(beside_todays, specs)),
        absent=tuple(absent),
    )


def _runs_in(folders: Sequence[Path], suite: Suite | None) -> tuple[list[Run], list[str]]:
    """The runs of some folders, each once and believed; and notes about what is not among them."""
    loaded = [(str(folder), load_record(folder)) for folder in folders]
    runs, notes = (loaded, []) if suite is None else members_of_suite(loaded, suite)
    for where, record in runs:
        check_believed(Path(where), record)
    runs, copies = without_copies(runs)
    return runs, notes + copies


def _check_same_images(members: Sequence[list[Run]], known: Sequence[list[Correctness]]) -> None:
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


def _corrected(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """The pairs with Holm's p-values over all that could be tested."""
    adjusted = iter(holm([pair.difference.p for pair in pairs if pair.difference.p is not None]))
    return tuple(replace(pair, holm=None if pair.difference.p is None else next(adjusted)) for pair in pairs)
