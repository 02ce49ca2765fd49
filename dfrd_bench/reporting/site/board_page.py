"""The page of a leaderboard: its table, charts, what is superseded, and a paper's numbers beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dfrd_bench.reporting.site import chart_data, sweep_data
from dfrd_bench.reporting.site.boards import Board, headings
from dfrd_bench.reporting.site.borda import ABOUT
from dfrd_bench.reporting.site.collecting import SiteRun, sweep_command
from dfrd_bench.reporting.site.names import spelled
from dfrd_bench.reporting.site.pages import Chart, Page
from dfrd_bench.reporting.site.rows import row_view
from dfrd_bench.reporting.tables.beside import PublishedRows, beside
from dfrd_bench.reporting.tables.comparability import OWN_WARNINGS
from dfrd_bench.reporting.tables.layout import ResultTable, attack_title
from dfrd_bench.reporting.tables.marks import PRINTED, TESTED
from dfrd_bench.reporting.tables.naming import shared_variant

Runs = Mapping[int, SiteRun]
"""The site's run of each record, by the record's `id`."""
USUAL = ("clean", "pgd20")  # attacks that are shown from the start, beside the strongest
LOOKS = {"BEST": "bold", "TIED": "bold†", "SECOND": "underlined"}


def board_page(board: Board, runs: Runs, published: Sequence[PublishedRows]) -> Page:
    """A board's page.

    Args:
        board: which.
        runs: see `Runs`.
        published: papers' tables to show beside it.
    """
    dataset, teacher, student, track = board.key
    marks = TESTED if board.table.tested else PRINTED
    for name, look in LOOKS.items():
        marks = marks.replace(name, look)
    return Page(
        board.page,
        f"{dataset}: {teacher} → {student}, {track}",
        "board.html",
        {
            "board": board,
            "dataset": dataset,
            "teacher": teacher,
            "student": student,
            "track": track,
            "main": table_view(board.table, runs, board),
            "old": None if board.old is None else table_view(board.old, runs, None),
            "about": [*board.table.legend, marks, *([ABOUT] if board.ranks else [])],
            "charts": {**_charts(board), **_swept(board, runs)},
            "unswept": _unswept(board, runs),
            "headline": attack_title(board.headline),
            "shared": board.table.shared or shared_variant(board.rows),
            "printed": [_printed(board.table, printed, runs) for printed in published],
        },
    )


def table_view(table: ResultTable, runs: Runs, board: Board | None) -> dict[str, object]:
    """A table as its template takes it; with ranks where the board is given."""
    rows = [row_view(row, table.columns, runs, board, place) for place, row in enumerate(table.rows)]
    if board is not None:
        rows.sort(key=lambda row: row.rank or 0)  # the teacher first
    usual = {*USUAL, "" if board is None else board.headline}
    hidden = [column.attack not in usual for column in table.columns]
    return {
        "headings": headings(table),
        "columns": [
            (column.title, f"{attack_title(column.attack)} {column.title}", hide)
            for column, hide in zip(table.columns, hidden, strict=True)
        ],
        "hidden": list(
            dict.fromkeys(attack_title(c.attack) for c, hide in zip(table.columns, hidden, strict=True) if hide)
        ),
        "rows": rows,
        "ranked": any(row.rank for row in rows),
        "warnings": [text for text in table.warnings if not text.startswith(OWN_WARNINGS)],  # which are badges here
        "notes": table.notes,
    }


def _printed(table: ResultTable, printed: PublishedRows, runs: Runs) -> dict[str, object]:
    both = beside(table, printed)
    parts = [(group.student, table_view(replace(both, groups=(group,)), runs, None)) for group in both.groups]
    return {"parts": parts, "name": printed.name, "source": printed.source, "warnings": parts[0][1]["warnings"]}


def _charts(board: Board) -> dict[str, Chart]:
    """Only those that have something to show."""
    attack, found = spelled(board.headline), {}
    plane, hidden, cost, classes = (
        make(board) for make in (chart_data.plane, chart_data.hidden, chart_data.cost, chart_data.classes)
    )
    students = [row for row in plane.rows if row[1] != "Teacher"]
    if len(students) > 1:
        best = ", ".join(str(row[0]) for row in students if row[1] == "Unbeaten")
        found["plane"] = Chart(
            "plane",
            plane,
            f"Under {attack}: average against the worst class, bars are 95 % intervals over test images. "
            f"Unbeaten, so that no other row is as good in both and better in one: {best}.",
        )
    if len(hidden.rows) > 1:
        gap = max(hidden.rows, key=lambda row: float(row[4] or 0))
        found["hidden"] = Chart(
            "hidden",
            hidden,
            "Average accuracy under PGD-20 against that under AutoAttack. On the line both are equal; below the dashed one "
            f"AutoAttack takes over 10 points more. The widest gap: {gap[0]}, {gap[4]} points.",
        )
    if len(cost.rows) > 1:
        quick = min(cost.rows, key=lambda row: float(row[2] or 0))
        found["cost"] = Chart(
            "cost",
            cost,
            f"Minutes of training against average accuracy under {attack}; minutes compare only between runs on the same "
            f"device. The quickest: {quick[0]}, {quick[2]} minutes.",
        )
    if classes.rows:
        names = tuple(attack_title(name) for name in board.table.attacks)
        first = attack_title(board.headline)
        found["classes"] = Chart(
            "classes",
            classes,
            "Accuracy of every class (%), mean over seeds; darker is higher.",
            attacks=(first, *(name for name in names if name != first)),
        )
    return found


def _swept(board: Board, runs: Runs) -> dict[str, Chart]:
    """Accuracy against ε of the rows that have a run with a sweep."""
    attack, sweeps = sweep_data.of_rows(board.named_rows, runs)
    if not sweeps.keys() - {name for name, row in board.named_rows if row.kind != "student"}:
        return {}
    left = [name for name, found in sweeps.items() if all(one.points[-1].average for one in found)]
    text = (
        f"Average accuracy under {attack_title(attack)}, mean over the seeds that were swept. Each step to the right doubles ε; "
        f"the dashed line is the runs' own. {len(sweeps)} of {len(board.rows)} rows have a sweep."
    )
    if left:
        text += (
            f" In the largest ball, where any image can become any other, something is left of {', '.join(left)}: the attack's "
            "gradients are hidden from it, or the network takes all images for one class."
        )
    return {"epsilon": Chart("epsilon", sweep_data.of_board(sweeps), text)}


def _unswept(board: Board, runs: Runs) -> tuple[int, str]:
    """How many rows have no run with a sweep, and the command that measures one of these, the best first; 0 and "" for none."""
    rows = [row for _, row in board.best_first] + [row for row in board.rows if row.kind != "student"]
    lacking = [
        [run for run in (runs[id(record)] for record in row.records) if run.folder is not None and not run.superseded]
        for row in rows
        if row.records and not any(runs[id(record)].swept.sweeps for record in row.records)
    ]
    found = [of_row[0] for of_row in lacking if of_row]
    return len(found), sweep_command(found[0]) if found else ""
