"""Leaderboards: the groups of the papers' table, with what is superseded beside them and a rank for each row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from dfrd_bench.reporting.evidence import Evidence, Run
from dfrd_bench.reporting.site.borda import Count, borda
from dfrd_bench.reporting.site.collecting import SiteRun, slug
from dfrd_bench.reporting.site.names import brief_names, spelled
from dfrd_bench.reporting.tables.build import build_tables
from dfrd_bench.reporting.tables.contested import contested, with_contests
from dfrd_bench.reporting.tables.layout import Column, Group, ResultTable, Row
from dfrd_bench.reporting.tables.tracks import Track

SUPERSEDED_NOTE = "Superseded runs stand in a table of their own and are not ranked."
STRONGEST = ("autoattack", "autoattack-fast", "pgd20x5", "cw", "pgd20", "fgsm")
Key = tuple[str, str, str, Track]
Step = Callable[[str, int, int], None]
"""Told what is done, how much of it, and how much there is."""


@dataclass(frozen=True)
class Board:
    """One leaderboard: a dataset, a teacher, a student and a track.

    Attributes:
        page: of the board.
        table: its columns, legend, warnings and notes; with the one group of this board.
        rows: of the current runs; the teacher's is among them.
        ranks: Borda's count by a row's place.
        old: the table of its superseded runs; None where there are none.
        headline: the attack whose numbers stand for the board where there is room for one only.
    """

    page: str
    key: Key
    table: ResultTable
    rows: tuple[Row, ...]
    ranks: dict[int, Count]
    old: ResultTable | None
    headline: str

    @property
    def title(self) -> str:
        """Dataset and student."""
        return f"{self.key[0]} → {self.key[2]}"

    @property
    def worst(self) -> str:
        """The metric of the classes that fare worst: a tenth of them where there are many."""
        metrics = {column.metric for column in self.table.columns}
        return "worst_10" if "worst_class" not in metrics else "worst_class"

    @property
    def students(self) -> list[tuple[int, Row]]:
        """Rows that compete, by their place."""
        return [(place, row) for place, row in enumerate(self.rows) if row.kind == "student"]

    @property
    def named_rows(self) -> list[tuple[str, Row]]:
        """Every row with a brief name: teachers first, then students by rank."""
        names = brief_names(self.rows)
        teachers = [place for place, row in enumerate(self.rows) if row.kind != "student"]
        return [(names[place], self.rows[place]) for place in (*teachers, *(place for place, _ in self.best_first))]

    @property
    def best_first(self) -> list[tuple[int, Row]]:
        """The same by rank."""
        return sorted(
            self.students, key=lambda pair: (self.ranks[pair[0]].rank if pair[0] in self.ranks else 0, pair[0])
        )


def build_boards(runs: Sequence[SiteRun], evidence: Evidence, step: Step) -> list[Board]:
    """The boards of some runs, those with current runs first.

    Args:
        runs: of students and teachers.
        evidence: which images each got right.
        step: told how far it is.
    """
    current = [run for run in runs if not run.superseded]
    old = [run for run in runs if run.superseded or not run.is_student]
    now, before = _groups(current, evidence, step), _groups(old, evidence, step)
    taken: set[str] = set()
    boards = []
    most = sorted(now, key=lambda key: -sum(len(row.records) for row in now[key].rows))
    for key in [*most, *(key for key in before if key not in now)]:
        table = now.get(key) or before[key]
        rows = table.groups[0].rows
        boards.append(
            Board(
                page=_page(key, taken),
                key=key,
                table=table,
                rows=rows,
                ranks=borda(rows, table.columns) if key in now else {},
                old=before.get(key) if key in now else None,
                headline=headline(table),
            )
        )
    return boards


def headline(table: ResultTable) -> str:
    """The strongest attack that most of a table's students ran, else the last of its columns."""
    students = [row for row in table.rows if row.kind == "student"]
    for attack in STRONGEST:
        column = Column(attack, "average")
        if 2 * sum(column in row.cells and row.cells[column].mean is not None for row in students) > len(students):
            return attack
    return table.attacks[-1]


def minutes(row: Row) -> float | None:
    """How long training took on average over seeds; None where no record says."""
    seconds = [record.training.seconds for record in row.records if record.training is not None]
    return fmean(seconds) / 60 if seconds else None


def headings(table: ResultTable) -> list[tuple[str, int]]:
    """The attacks of a table's columns, and how many columns each has."""
    return [(spelled(attack), sum(column.attack == attack for column in table.columns)) for attack in table.attacks]


def _groups(runs: Sequence[SiteRun], evidence: Evidence, step: Step) -> dict[Key, ResultTable]:
    """A table for each group that has a student."""
    found: dict[Key, ResultTable] = {}
    known = contested((run.record, run.known) for run in runs if run.known is not None)
    datasets = list(dict.fromkeys(run.record.spec.dataset for run in runs))
    for number, dataset in enumerate(datasets, start=1):
        part: list[Run] = [(run.where, run.record) for run in runs if run.record.spec.dataset == dataset]
        for table in build_tables(part, teachers=True, evidence=evidence, intervals=True):
            for group in table.groups:
                if any(row.kind == "student" for row in group.rows):
                    key = (table.dataset, table.teacher, group.student, table.track)
                    found[key] = with_contests(_narrowed(table, group), known)
        step("leaderboards", number, len(datasets))
    return found


def _narrowed(table: ResultTable, group: Group) -> ResultTable:
    """The table with one group, and without columns that none of its rows has."""
    columns = tuple(c for c in table.columns if any(row.cells[c].mean is not None for row in group.rows))
    return replace(table, groups=(group,), columns=columns or table.columns)


def _page(key: Key, taken: set[str]) -> str:
    page = wanted = "boards/" + "-".join(slug(part) for part in key)
    number = 1
    while page in taken:
        number += 1
        page = f"{wanted}-{number}"
    taken.add(page)
    return page
