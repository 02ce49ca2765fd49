"""Two runs on the same test images: every difference, how sure it is, and what remains of it among so many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.contradictions import check_believed
from dfrd_bench.evaluation.correctness import read_correctness
from dfrd_bench.evaluation.paired import Difference, PairedBootstrap
from dfrd_bench.evaluation.significance import LEVEL, holm, mcnemar
from dfrd_bench.records.schema import ExperimentSpec
from dfrd_bench.records.store import load_record
from dfrd_bench.reporting.codes import beside_todays
from dfrd_bench.reporting.comparison.naming import about_codes, marked_names, names_of
from dfrd_bench.reporting.tables.comparability import warnings_about
from dfrd_bench.reporting.tables.layout import ATTACK_TITLES, METRIC_TITLES, Column, attack_title

RESAMPLES = 10_000
FEWEST_CLASSES = 11  # from which the worst tenth is more than the worst class


@dataclass(frozen=True)
class Line:
    """One metric under one attack, for A and for B.

    Attributes:
        a, b: the recorded values; None where undefined.
        difference: A minus B.
        holm: its p-value after Holm's correction over all lines.
        mcnemar: p-value of McNemar's test, for the average only.
    """

    column: Column
    a: float | None
    b: float | None
    difference: Difference
    holm: float | None = None
    mcnemar: float | None = None

    @property
    def name(self) -> str:
        """E.g. "PGD-20 Worst"."""
        return f"{attack_title(self.column.attack)} {self.column.title.rstrip(' ↑↓')}"

    @property
    def significant(self) -> bool:
        return self.difference.direction != 0

    @property
    def significant_after_holm(self) -> bool:
        return self.significant and self.holm is not None and self.holm < LEVEL

    @property
    def better(self) -> str:
        """The run that is better where the difference is significant, "A" or "B"."""
        return "A" if (self.difference.direction > 0) != self.column.lower_is_better else "B"


@dataclass(frozen=True)
class Comparison:
    """All lines of A against B.

    Attributes:
        names: what A and B are called, e.g. "FERD on wrn-10-1, seed 1".
        codes: by which code each was made, where that is not its method's of today, see `beside_todays`.
        images: number of test images.
        warnings: why they should not be compared; empty when all is well.
    """

    names: tuple[str, str]
    dataset: str
    images: int
    lines: tuple[Line, ...]
    warnings: tuple[str, ...]
    codes: tuple[str, str] = ("", "")

    @property
    def marked_names(self) -> list[str]:
        """What A and B are called, with the tables' mark where one is not by today's code."""
        return marked_names(self.names, self.codes)

    @property
    def about_codes(self) -> tuple[str, ...]:
        """What that mark means, in a line; none where neither has it."""
        return about_codes(self.names, self.codes)

    def conclusions(self) -> tuple[str, ...]:
        """In words: which differences are significant, how many were tested, and what that leaves; and what a mark means."""
        tested = sum(line.difference.p is not None for line in self.lines)
        found = [line for line in self.lines if line.significant]
        left = [line for line in found if line.significant_after_holm]
        lost = [line.name for line in found if not line.significant_after_holm]
        who = [
            f"{run} is better in {', '.join(names)}"
            for run in "AB"
            if (names := [line.name for line in found if line.better == run])
        ]
        if not found:
            holds = "Holm's correction changes nothing"
        elif not left:
            holds = "after Holm's correction none of them remains"
        else:
            without = f", but not {', '.join(lost)}" if lost else ""
            holds = f"after Holm's correction {len(left) if lost else 'all'} of them remain (**){without}"
        return (
            f"Significant at {LEVEL} (*): {len(found) or 'none'} of {tested} differences{': ' if who else ''}{'; '.join(who)}.",
            f"With {tested} comparisons, chance alone makes about {LEVEL * tested:.2g} look significant; {holds}.",
            "Tested is whether these two networks would differ on other test images; whether two methods differ needs "
            "several seeds as well (docs/statistics.md).",
            *self.about_codes,
        )


def compare_runs(first: Path, second: Path) -> Comparison:
    """Compare two runs image by image, over the attacks that both were evaluated with.

    Args:
        first: folder of run A.
        second: folder of run B.

    Raises:
        DfrdBenchError: a run has no record, or one that is contradicted, or no predictions of its own, the test images
            differ, or no attack is common.
    """
    records = [load_record(folder) for folder in (first, second)]
    a, b = (read_correctness(folder, record) for folder, record in zip((first, second), records, strict=True))
    for folder, record in zip((first, second), records, strict=True):
        check_believed(folder, record)
    if not a.same_images(b):
        what = "labels differ" if a.digest == b.digest else f"digests {a.digest[:8]} and {b.digest[:8]}"
        raise DfrdBenchError(f"{first} and {second} were not tested on the same images in the same order ({what}).")
    order = [*ATTACK_TITLES, *sorted(a.right.keys() - ATTACK_TITLES.keys())]
    common = [name for name in order if name in a.right and name in b.right]
    if not common:
        raise DfrdBenchError(f"{first} and {second} have no attack in common. Evaluate one of them further.")
    few = records[0].dataset.info.num_classes < FEWEST_CLASSES
    metrics = [name for name in METRIC_TITLES if not (few and name == "worst_10")]
    lines = []
    for attack in common:
        one, other = a.right[attack], b.right[attack]
        bootstrap = PairedBootstrap({"A": one[:, None], "B": other[:, None]}, a.labels, resamples=RESAMPLES)
        first_result, second_result = (record.evaluation.attacks[attack] for record in records)
        for metric in metrics:
            lines.append(
                Line(
                    Column(attack, metric),
                    getattr(first_result, metric),
                    getattr(second_result, metric),
                    difference=bootstrap.difference("A", "B", metric),
                    mcnemar=mcnemar(one, other) if metric == "average" else None,
                )
            )
    return Comparison(
        names=_names(*(record.spec for record in records)),
        dataset=records[0].spec.dataset,
        images=len(a.labels),
        lines=_corrected(lines),
        warnings=warnings_about(zip("AB", ([record] for record in records), strict=True)),
        codes=(beside_todays(records[0].spec), beside_todays(records[1].spec)),
    )


def _corrected(lines: Sequence[Line]) -> tuple[Line, ...]:
    """The lines with Holm's p-values over all that could be tested."""
    adjusted = iter(holm([line.difference.p for line in lines if line.difference.p is not None]))
    return tuple(replace(line, holm=None if line.difference.p is None else next(adjusted)) for line in lines)


def _names(a: ExperimentSpec, b: ExperimentSpec) -> tuple[str, str]:
    """What two runs are called: as rows are, and by their seed."""
    rows = names_of((a, b), students=True)
    first, second = (
        f"Teacher {spec.teacher.name} ({spec.student})" if spec.kind == "teacher" else f"{row}, seed {spec.seed}"
        for spec, row in zip((a, b), rows, strict=True)
    )
    return first, second
