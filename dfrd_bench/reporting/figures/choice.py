"""Which rows a figure shows: those of one table (dataset, teacher, track) and one student, out of all that was found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dfrd_bench.errors import DfrdBenchError, unknown_name
from dfrd_bench.records.suites import load_suite
from dfrd_bench.reporting.escaping import plain_in_figures
from dfrd_bench.reporting.evidence import Evidence, Run
from dfrd_bench.reporting.found import runs_of_suite, with_shipped_teachers, with_trained_teachers
from dfrd_bench.reporting.tables.brief import STRENGTH
from dfrd_bench.reporting.tables.build import build_tables
from dfrd_bench.reporting.tables.layout import FLATTERED, WITH_DATA, ResultTable, Row, attack_title
from dfrd_bench.reporting.tables.naming import with_short_numbers
from dfrd_bench.reporting.tables.other_code import about_other_code
from dfrd_bench.reporting.tables.tracks import Track

NOTHING_SHARED = "No attack was run on all of these: `dfrd-bench evaluate RUN` adds what one lacks."
ShownTrack = Literal["data-free", "with-data", "both"]


@dataclass(frozen=True)
class Wanted:
    """What a user wants to see of what was found; by default the largest table that there is, data-free where one is.

    Attributes:
        dataset, teacher, student: by name; any when None.
        methods: names of methods; all when empty.
        suite: only the rows of a suite, see `load_suite`.
        track: with data or without, or both beside each other.
        attacks: names; what suits the figure when None.
    """

    dataset: str | None = None
    teacher: str | None = None
    student: str | None = None
    methods: tuple[str, ...] = ()
    suite: str | None = None
    track: ShownTrack | None = None
    attacks: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Chosen:
    """The rows of a figure.

    Attributes:
        table: which they are of.
        student: whose they are.
        rows: of students, in the table's order.
        teacher: its row, where there is a record of it.
        notes: sentences about what else was found, and is not shown.
    """

    table: ResultTable
    student: str
    rows: tuple[Row, ...]
    teacher: Row | None
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """E.g. "wrn-10-1 distilled from digits-wrn-10-2 on digits"."""
        return plain_in_figures(f"{self.student} {taught(self.table)}")


def taught(table: ResultTable) -> str:
    """How the students of a table came to be, and on what, e.g. "distilled from digits-wrn-10-2 on digits"."""
    by = "trained without a teacher" if table.teacher == "none" else f"distilled from {table.teacher}"
    return f"{by}{WITH_DATA[table.track]} on {table.dataset}"


def narrowed_runs(runs: Sequence[Run], wanted: Wanted, folders: Iterable[Path] = ()) -> list[Run]:
    """The runs that are wanted, and the records of their teachers, also where these lie elsewhere.

    Raises:
        DfrdBenchError: nothing is called so; or no run is left.
    """
    kept = runs_of_suite(runs, load_suite(wanted.suite)) if wanted.suite else list(runs)
    parts: list[tuple[str, tuple[str, ...], Callable[[Run], str]]] = [
        ("dataset", _one(wanted.dataset), lambda run: run[1].spec.dataset),
        ("teacher", _one(wanted.teacher), lambda run: run[1].spec.teacher.name),
        ("student", _one(wanted.student), lambda run: run[1].spec.student),
        ("method", wanted.methods, lambda run: run[1].spec.method),
    ]
    for what, names, value in parts:
        students = [run for run in kept if run[1].spec.kind == "student"]
        known = dict.fromkeys(value(run) for run in students)
        for name in names:
            if name not in known:
                raise unknown_name(f"{what} in these records", name, known)
        if names:
            above = what in ("student", "method")  # which teachers' records have of their own
            kept = [run for run in kept if value(run) in names or (above and run[1].spec.kind == "teacher")]
    if not any(run[1].spec.kind == "student" for run in kept):
        raise DfrdBenchError("No run of a student is among these records: there is nothing to draw.")
    return with_shipped_teachers(with_trained_teachers(kept, folders))


def choose_table(
    runs: Sequence[Run], wanted: Wanted, *, evidence: Evidence | None = None, intervals: bool = False
) -> tuple[ResultTable, tuple[str, ...]]:
    """The table that a figure is made from, and notes about others that there are and about rows by other code than today's.

    Args:
        runs: from `narrowed_runs`.
        wanted: its track and its attacks are looked at.
        evidence: see `build_tables`.
        intervals: whether its cells hold intervals.

    Raises:
        DfrdBenchError: no record has one of the attacks, or no run is of the track.
    """
    tables = build_tables(
        runs,
        attacks=wanted.attacks,
        teachers=True,
        evidence=evidence,
        intervals=intervals,
        tracks="both" if wanted.track == "both" else "apart",
    )
    tables = [table for table in tables if any(row.kind == "student" for row in table.rows)]
    track: Track | None = "with data" if wanted.track == "with-data" else wanted.track
    if track in ("data-free", "with data"):
        tables = [table for table in tables if table.track == track]
    if not tables:
        raise DfrdBenchError(f"No run here is {wanted.track or 'of a student'}: choose another --track.")
    best, *others = sorted(tables, key=lambda table: (table.track == "with data", -len(table.rows)))
    names = dict.fromkeys(f"{table.track}, {taught(table)}" for table in others)
    said = f"Shown: {best.track}, {taught(best)}. Not shown: {'; '.join(names)} (--track, --teacher, --dataset choose)."
    return best, tuple(filter(None, (said if names else "", about_other_code(best.groups))))


def choose_rows(
    runs: Sequence[Run], wanted: Wanted, *, evidence: Evidence | None = None, intervals: bool = False
) -> Chosen:
    """The rows of one student in one table; of the student with the most.

    Args:
        runs: from `narrowed_runs`.
        wanted: see `choose_table`.
        evidence: see `build_tables`.
        intervals: whether their cells hold intervals.

    Raises:
        DfrdBenchError: see `choose_table`; or one of the wanted attacks was not run on a row.
    """
    table, notes = choose_table(runs, wanted, evidence=evidence, intervals=intervals)
    groups = sorted(table.groups, key=lambda group: -len(group.rows))
    others = ", ".join(group.student for group in groups[1:])
    notes += (f"Shown: students {groups[0].student}. Not shown: {others} (--student chooses).",) if others else ()
    rows = tuple(row for row in groups[0].rows if row.kind == "student")
    teacher = next((row for row in groups[0].rows if row.kind == "teacher"), None)
    for attack in wanted.attacks or ():
        if lacking := [row.label for row in rows if not _ran(row, attack)]:
            raise DfrdBenchError(
                f"{attack} was not run on {', '.join(lacking)}: `dfrd-bench evaluate RUN --attacks {attack}` adds it, and "
                "--method or --suite chooses others."
            )
        if teacher is not None and not _ran(teacher, attack):
            notes += (f"{teacher.label} is not shown: {attack} was not run on it (`dfrd-bench evaluate` adds it).",)
            teacher = None
    return Chosen(table, groups[0].student, rows, teacher, notes)


def shared_attacks(rows: Sequence[Row], table: ResultTable) -> tuple[str, ...]:
    """The attacks that every run of some rows was evaluated with, in the table's order.

    Raises:
        DfrdBenchError: there is none.
    """
    runs = [record for row in rows for record in row.records]
    shared = tuple(attack for attack in table.attacks if all(attack in record.evaluation.attacks for record in runs))
    if not shared:
        raise DfrdBenchError(NOTHING_SHARED)
    return shared


def strongest(attacks: Sequence[str]) -> str:
    """The attack whose verdict is to be believed first.

    Raises:
        DfrdBenchError: there is none.
    """
    if not attacks:
        raise DfrdBenchError(NOTHING_SHARED)
    return next((name for name in STRENGTH if name in attacks), attacks[-1])


def one_attack(wanted: Wanted, rows: Sequence[Row], table: ResultTable) -> str:
    """The attack of a figure that shows one: what is wanted, or the strongest that all rows ran.

    Raises:
        DfrdBenchError: several are wanted; or there is none.
    """
    one_attack_of(wanted)
    return strongest(shared_attacks(rows, table))


def one_attack_of(wanted: Wanted) -> str | None:
    """The one attack that is wanted; None where none is named.

    Raises:
        DfrdBenchError: several are.
    """
    if wanted.attacks is not None and len(wanted.attacks) != 1:
        raise DfrdBenchError(f"This figure shows one attack, not {len(wanted.attacks)}.")
    return None if wanted.attacks is None else wanted.attacks[0]


def title_of(attack: str) -> str:
    """An attack as the papers write it, fit for a figure."""
    return plain_in_figures(attack_title(attack))


def label_of(row: Row) -> str:
    """A row as tables call it, fit for a figure; with the tables' mark where the gradient attacks flatter it."""
    text = plain_in_figures(with_short_numbers(row.label)) + (FLATTERED if row.flattered else "")
    return f" {text}" if text.startswith("_") else text  # else Matplotlib leaves it out of legends


def _ran(row: Row, attack: str) -> bool:
    return all(attack in record.evaluation.attacks for record in row.records)


def _one(name: str | None) -> tuple[str, ...]:
    return () if name is None else (name,)
