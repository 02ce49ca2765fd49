"""Which runs a site shows, and what each is called on it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dfrd_bench.evaluation.best_known import BestKnown, best_known
from dfrd_bench.evaluation.swept import Swept, swept
from dfrd_bench.records.schema import Record
from dfrd_bench.reporting.evidence import Run
from dfrd_bench.reporting.found import SHIPPED
from dfrd_bench.reporting.tables.comparability import SUPERSEDED
from dfrd_bench.reporting.tables.layout import display_name

LONGEST_SLUG = 40


@dataclass(frozen=True)
class SiteRun:
    """One run as the site knows it.

    Attributes:
        page: of the run, e.g. "runs/ferd-seed1-96fe9e44"; letters, digits and hyphens only, whatever the record says.
        where: the folder that its record was found in, or that it is shipped with the package.
        shown: that folder as the site names it: below the results folder, without the way to it.
        record: what it says.
        label: what it is called, e.g. "FERD (utae=false), seed 1".
        superseded: why its numbers are no longer what its method gives; "" where they are.
        known: what everybody's attacks leave of it; None for a record that is shipped with the package.
        swept: its sweeps over ε.
    """

    page: str
    where: str
    shown: str
    record: Record
    label: str
    superseded: str
    known: BestKnown | None = None
    swept: Swept = field(default_factory=Swept)

    @property
    def folder(self) -> Path | None:
        """Where its files are; None for a record that is shipped with the package."""
        return None if self.where == SHIPPED else Path(self.where)

    @property
    def is_student(self) -> bool:
        """Whether it is the run of a method, and not a teacher."""
        return self.record.spec.kind == "student"


def site_runs(runs: Iterable[Run], folders: Sequence[Path]) -> list[SiteRun]:
    """The runs with a page each; two runs never share one.

    Args:
        runs: records that are believed, and where each was found.
        folders: the results folders that were given.
    """
    found: list[SiteRun] = []
    taken: set[str] = set()
    for where, record in runs:
        spec = record.spec
        page = wanted = f"runs/{slug(spec.role)}-seed{spec.seed}-{spec.digest()}"
        number = 1
        while page in taken:
            number += 1
            page = f"{wanted}-{number}"
        taken.add(page)
        old = SUPERSEDED.get(spec.provider, "") if spec.kind == "student" else ""
        known = None if where == SHIPPED else best_known(Path(where), record)
        sweeps = Swept() if where == SHIPPED else swept(Path(where), record)
        found.append(SiteRun(page, where, _shown(where, folders), record, run_label(record), old, known, sweeps))
    return found


def run_label(record: Record) -> str:
    """A run in a few words, without dataset and student."""
    spec = record.spec
    if spec.kind == "teacher":
        return f"Teacher {spec.teacher.name}"
    variant = "" if spec.variant == "default" else f" ({spec.variant})"
    return f"{display_name(spec.method)}{variant}, seed {spec.seed}"


def sweep_command(run: SiteRun) -> str:
    """What measures a run's accuracy against ε."""
    return f"dfrd-bench figure curve {shlex.quote(run.shown)}"


def slug(text: str) -> str:
    """A name as part of a file's name and of an address: what is no ASCII letter or digit becomes a hyphen."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:LONGEST_SLUG].strip("-") or "unnamed"


def without_the_way(text: str, folders: Sequence[Path]) -> str:
    """A sentence that names files below the results folders, without the way to these, which is nobody's business."""
    for folder in folders:
        for way in {f"{folder}/", f"{folder.resolve()}/"}:
            text = text.replace(way, f"{folder.resolve().name}/")
    return text


def _shown(where: str, folders: Sequence[Path]) -> str:
    if where == SHIPPED:
        return SHIPPED
    path = Path(where).resolve()
    for folder in folders:
        root = folder.resolve()
        if path.is_relative_to(root):
            return (Path(root.name) / path.relative_to(root)).as_posix()
    return path.name
