"""The figure of NSD against the student's capacity (as Fair-ARD's figure 1, b to d)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.reporting.escaping import plain_in_figures
from dfrd_bench.reporting.figures.choice import Wanted, label_of, one_attack, taught, title_of
from dfrd_bench.reporting.figures.nsd import TEACHER_LINE
from dfrd_bench.reporting.figures.style import COLUMN, PAGE, canvas, headline, legend_below, look, styled
from dfrd_bench.reporting.tables.layout import Column, ResultTable, Row

PARAMETERS = "parameters of the student"


def capacity_figure(table: ResultTable, wanted: Wanted) -> Any:
    """NSD against the student's size under one attack, a line per method, the teacher's as a dashed line.

    A panel per family of architectures of which there are two sizes or more: widths of WideResNets of one depth, depths of one
    width, layers of ResNets (Fair-ARD's figure 1, b to d); where there is no such family, the number of parameters.

    Args:
        table: with students of several sizes.
        wanted: its attack is looked at.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        DfrdBenchError: all students are of one size; or several attacks are wanted, or none was run on all.
    """
    rows = {group.student: [row for row in group.rows if row.kind == "student"] for group in table.groups}
    everyone = [row for part in rows.values() for row in part]
    attack = one_attack(wanted, everyone, table)
    families = families_of(list(rows)) or _by_parameters(rows)
    if not families:
        raise DfrdBenchError(
            f"All students here are {', '.join(rows)}: NSD against capacity needs students of two sizes "
            "(`dfrd-bench suite capacity` makes them)."
        )
    labels = [*dict.fromkeys(label_of(row) for row in everyone)]
    column = Column(attack, "nsd")
    teacher = next((row for group in table.groups for row in group.rows if row.kind == "teacher"), None)
    with styled():
        figure, grid = canvas(1, len(families), width=COLUMN if len(families) == 1 else PAGE, height=2.3)
        for axis, (name, sizes) in zip(grid[0], families.items(), strict=True):
            for number, label in enumerate(labels):
                points = [
                    (size, row.cells[column])
                    for size, student in sizes
                    for row in rows[student]
                    if label_of(row) == label and row.cells[column].mean is not None
                ]
                axis.errorbar(
                    [size for size, _ in points],
                    [cell.mean for _, cell in points],
                    yerr=[cell.std or 0.0 for _, cell in points] if any(cell.std for _, cell in points) else None,
                    label=label,
                    **look(number),
                )
            if teacher is not None and teacher.cells[column].mean is not None:
                axis.axhline(teacher.cells[column].mean, label=label_of(teacher), **TEACHER_LINE)
            axis.set_xlabel(name)
            axis.grid(axis="y")
            if name == PARAMETERS:
                axis.set_xscale("log")
            else:
                axis.set_xticks([size for size, _ in sizes])
        grid[0][0].set_ylabel(f"NSD under {title_of(attack)} (lower is fairer)")
        headline(figure, plain_in_figures(f"students {taught(table)}"))
        legend_below(figure, grid[0][0], 4 if len(families) > 1 else 2)
    return figure


def families_of(students: Sequence[str]) -> dict[str, list[tuple[float, str]]]:
    """Architectures that differ in one size alone: for each family of two or more its axis, and the sizes with their names.

    Args:
        students: names, e.g. wrn-10-1, wrn:10-4, resnet-18.
    """
    families: dict[str, list[tuple[float, str]]] = {}
    for student in students:
        if match := re.fullmatch(r"wrn[-:](\d+)-(\d+)", student):
            depth, width = map(int, match.groups())
            families.setdefault(f"width W of WRN-{depth}-W", []).append((width, student))
            families.setdefault(f"depth D of WRN-D-{width}", []).append((depth, student))
        elif match := re.fullmatch(r"(preact)?resnet-(\d+)", student):
            name = "PreActResNet-X" if match.group(1) else "ResNet-X"
            families.setdefault(f"layers X of {name}", []).append((int(match.group(2)), student))
    return {name: sorted(sizes) for name, sizes in families.items() if len(sizes) > 1}


def _by_parameters(rows: dict[str, list[Row]]) -> dict[str, list[tuple[float, str]]]:
    sizes = sorted((part[0].records[0].parameters, student) for student, part in rows.items() if part)
    return {PARAMETERS: [(float(size), student) for size, student in sizes]} if len(sizes) > 1 else {}
