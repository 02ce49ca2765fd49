"""From records to the papers' table: which rows, which columns, and which cells are best."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from statistics import fmean, stdev

from dfrd_bench.attacks import STANDARD_ATTACKS
from dfrd_bench.errors import DfrdBenchError, unknown_name
from dfrd_bench.records.schema import NO_TEACHER, Record
from dfrd_bench.reporting.codes import beside_todays
from dfrd_bench.reporting.evidence import Evidence, Run
from dfrd_bench.reporting.found import without_copies
from dfrd_bench.reporting.tables.comparability import (
    dataset_options,
    distinguish,
    legend,
    results_option,
    settings_of,
    teacher_options,
    trained_here,
    warnings_about,
)
from dfrd_bench.reporting.tables.flattered import why_flattered
from dfrd_bench.reporting.tables.layout import (
    ATTACK_TITLES,
    METHOD_TITLES,
    NOT_RUN,
    UNCONVERTED,
    UNDEFINED,
    Cell,
    Column,
    Group,
    ResultTable,
    Row,
    attack_title,
    row_label,
)
from dfrd_bench.reporting.tables.marks import marked
from dfrd_bench.reporting.tables.naming import shared_variant, without_variant
from dfrd_bench.reporting.tables.stages import NONE_RECORDED, stage_columns, stage_gaps
from dfrd_bench.reporting.tables.tracks import Together, Track, tables_of
from dfrd_bench.reporting.tables.uncertainty import tests_between, with_intervals

MANY_CLASSES = 100


def build_tables(
    runs: Iterable[Run],
    *,
    attacks: Sequence[str] | None = None,
    teachers: bool = False,
    evidence: Evidence | None = None,
    intervals: bool = False,
    stages: bool = False,
    tracks: Together = "apart",
) -> list[ResultTable]:
    """Arrange records as the papers do: a table per dataset, teacher and track, a group per student, a row per method.

    Methods come in the papers' order, others after them by name. Runs that differ in their seed alone share a row.
    Equal printed values share their mark; a column that prints one value only has none.

    Args:
        runs: records and where each was found.
        attacks: show only these; by default all that were run, on students where there are any.
        teachers: show the teacher as the first row of each group.
        evidence: which images each run got right, see `predictions_beside_records`; then what the images cannot tell from
            the best value is tied with it. Without it, marks go by the printed value.
        intervals: show 95% intervals over test images in place of the spread over seeds.
        stages: hold the accuracy after each stage of an attack too, for a table of its own.
        tracks: "both" ranks methods with and without data together, with a column that says what each sees.

    Raises:
        DfrdBenchError: no record knows one of `attacks`, or `attacks` is empty.
    """
    if attacks is not None and not attacks:
        raise DfrdBenchError("No attack is left to show: name at least one, e.g. clean,pgd20.")
    shown = [(where, record) for where, record in runs if teachers or record.spec.kind == "student"]
    if not shown:
        return []
    present = {attack for _, record in shown for attack in record.evaluation.attacks}
    for attack in attacks or ():
        if attack not in present:
            raise unknown_name("attack in these results", attack, present)
    chosen = None if attacks is None else set(attacks)
    tables = (
        _table(name, track, part, chosen, teachers, evidence, intervals, stages)
        for name, track, part in tables_of(shown, tracks)
    )
    return [table for table in tables if table.columns]


def _table(
    teacher: str,
    track: Track,
    runs: list[Run],
    attacks: set[str] | None,
    teachers: bool,
    evidence: Evidence | None,
    intervals: bool,
    stages: bool,
) -> ResultTable:
    """The table of all runs of one track on one dataset with one teacher."""
    runs, notes = without_copies(runs)
    specs = [record.spec for _, record in runs]
    ran, lonely = _columns_of(_records(runs), attacks)
    notes += lonely
    many = any(record.dataset.info.num_classes >= MANY_CLASSES for _, record in runs)
    metrics = ("average", "worst_10" if many else "worst_class", "nsd")
    order = [attack for attack in ATTACK_TITLES if attack in ran] + sorted(ran - set(ATTACK_TITLES))
    columns = tuple(Column(attack, metric) for attack in order for metric in metrics)
    after = stage_columns(_records(runs), order) if stages else ()

    teacher_runs = [run for run in runs if run[1].spec.kind == "teacher"]
    both = {spec.method for spec in specs if UNCONVERTED in spec.variant.split("+")}
    both &= {spec.method for spec in specs if UNCONVERTED not in spec.variant.split("+")}
    students = sorted({spec.student for spec in specs if spec.kind == "student"}) or [""]
    rows_of = {}
    for student in students:
        mine = [run for run in runs if run[1].spec.kind == "student" and run[1].spec.student == student]
        rows_of[student] = [*_rows(teacher_runs, columns + after, both), *_rows(mine, columns + after, both)]
    shared = shared_variant([row for rows in rows_of.values() for row, _ in rows])
    notes += [f"All students: {shared}."] if shared else []
    groups, members, tested = [], [], False
    for student, rows in rows_of.items():
        rows = [(without_variant(row, shared), part) for row, part in rows]
        members += [(_qualified(row, student), _records(part)) for row, part in rows]
        notes += [note for row, part in rows for note in _gaps(row, student, _records(part), order)]
        notes += [note for row, part in rows for note in stage_gaps(_qualified(row, student), _records(part), after)]
        tests, untested = tests_between(rows, columns, student, evidence)
        shown, lacking = with_intervals(rows, columns, tests, evidence) if intervals else ([row for row, _ in rows], [])
        tested, notes = tested or bool(tests), notes + untested + lacking
        groups.append(Group(student, marked(shown, columns, tests)))
    taught = next((record for _, record in runs if record.spec.teacher.name == teacher != NO_TEACHER.name), None)
    if teachers and not teacher_runs and taught:
        asked = "" if order == list(STANDARD_ATTACKS) else f" --attacks {','.join(order)}"
        into = results_option(next(Path(where) for where, record in runs if record is taught), taught)
        command = f"`dfrd-bench evaluate {teacher_options(taught)} {dataset_options(taught)}{asked}{into}`"
        notes.append(f"No record of teacher {teacher}: {command} makes it{trained_here(taught)}.")
    if stages and not after:
        notes.append(NONE_RECORDED)
    table = ResultTable(
        specs[0].dataset, teacher, columns, tuple(groups), tested=tested, stages=after, track=track, shared=shared
    )
    return replace(
        table,
        legend=legend(table, [record for _, record in runs]),
        warnings=warnings_about(members),
        notes=tuple(dict.fromkeys(notes)),
    )


def _columns_of(records: Sequence[Record], chosen: set[str] | None) -> tuple[set[str], list[str]]:
    """The attacks that get columns, and a note about those that only the teacher ran: they do, where somebody names them."""
    everyone = {attack for record in records for attack in record.evaluation.attacks}
    students = {attack for r in records if r.spec.kind == "student" for attack in r.evaluation.attacks} or everyone
    if chosen is not None:
        return everyone & chosen, []
    names = ", ".join(sorted(everyone - students))
    note = f"Only the teacher was attacked with {names}, which is left out (--attacks shows it)."
    return students, [note] if names else []


def _rows(runs: list[Run], columns: Sequence[Column], unconverted: Collection[str]) -> list[tuple[Row, list[Run]]]:
    """One row per method, variant and settings, in the papers' order, with its runs by seed.

    A method as it was (un-converted) comes before its conversion, its other variants after.
    """
    papers = list(METHOD_TITLES)

    def row_key(run: Run) -> tuple[int, str, int, str]:
        spec = run[1].spec
        place = papers.index(spec.method) if spec.method in papers else len(papers)
        return place, spec.method, (UNCONVERTED, "default", spec.variant).index(spec.variant), spec.variant

    rows = []
    for _, same_name in groupby(sorted(runs, key=row_key), key=row_key):
        by_settings: dict[str, list[Run]] = {}
        for run in same_name:
            by_settings.setdefault(settings_of(run[1].spec), []).append(run)
        names = distinguish([part[0][1].spec for part in by_settings.values()])
        for settings, part in sorted(zip(names, by_settings.values(), strict=True), key=_todays_first):
            part.sort(key=lambda run: run[1].spec.seed)
            rows.append((_row(_records(part), settings, columns, unconverted), part))
    return rows


def _todays_first(row: tuple[str, list[Run]]) -> tuple[bool, str]:
    """In which order the settings of one method stand."""
    settings, part = row
    return bool(beside_todays(part[0][1].spec)), settings


def _row(part: list[Record], settings: str, columns: Sequence[Column], unconverted: Collection[str]) -> Row:
    spec = part[0].spec
    return Row(
        kind=spec.kind,
        method=spec.role,
        variant=spec.variant if spec.kind == "student" else "default",
        settings=settings,
        label=row_label(spec.kind, spec.method, spec.variant, spec.student, settings, unconverted),
        seeds=tuple(record.spec.seed for record in part),
        cells={column: _cell(part, column) for column in columns},
        flattered=why_flattered(part),
        sees=spec.sees if spec.kind == "student" else "",
        records=tuple(part),
        other_code=beside_todays(spec),
    )


def _cell(part: list[Record], column: Column) -> Cell:
    """Mean and sample standard deviation over the seeds that ran the attack; undefined if it is for any of them."""
    results = [
        record.evaluation.attacks[column.attack] for record in part if column.attack in record.evaluation.attacks
    ]
    if column.stage:
        values = [standing[column.stage] for result in results if column.stage in (standing := result.stages or {})]
    else:
        values = [getattr(result, column.metric) for result in results]
    if not values:
        return Cell(None, None, NOT_RUN, "")
    if any(value is None or not math.isfinite(value) for value in values):
        return Cell(None, None, UNDEFINED, "")
    mean, std = fmean(values), stdev(values) if len(values) > 1 else None
    return Cell(mean, std, column.show(mean), "" if std is None else column.show(std))


def _records(runs: Sequence[Run]) -> list[Record]:
    return [record for _, record in runs]


def _qualified(row: Row, student: str) -> str:
    return row.label if row.kind == "teacher" else f"{row.label} on {student}"


def _gaps(row: Row, student: str, part: list[Record], attacks: Sequence[str]) -> list[str]:
    """A note for each attack that only some of a row's seeds ran."""
    counts = {attack: sum(attack in record.evaluation.attacks for record in part) for attack in attacks}
    return [
        f"{_qualified(row, student)}: {attack_title(attack)} was run for {count} of {len(part)} seeds only."
        for attack, count in counts.items()
        if 0 < count < len(part)
    ]
