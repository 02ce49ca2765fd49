"""What each row's training cost: passes through teacher and student, time and memory, as a small table below the main one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from dfrd_bench.records.schema import Record
from dfrd_bench.reporting.tables.layout import NOT_RUN, Cell, Column, Group, ResultTable, Row

GIB = 2**30
PER_STEP = "_per_step"  # of a column of passes: the end of its name, behind that of a total in `PassesRecord`


@dataclass(frozen=True)
class CostColumn(Column):
    """One cost; `attack` is the heading above it, and `metric` its flat name, e.g. student_forward_per_step."""

    @property
    def key(self) -> str:
        return self.metric

    @property
    def title(self) -> str:
        return TITLES[self.metric]

    def show(self, value: float) -> str:
        """Passes per step with two decimals, seconds with one, bytes in GiB with two."""
        if self.metric == "training_seconds":
            return f"{value:.1f}"
        return f"{value / GIB if self.metric == 'peak_memory_bytes' else value:.2f}"


TITLES = {
    **{f"{network}_forward{PER_STEP}": "Forward" for network in ("teacher", "student")},
    **{f"{network}_backward{PER_STEP}": "Backward" for network in ("teacher", "student")},
    **{"training_seconds": "Seconds", "peak_memory_bytes": "Peak GiB"},
}
COLUMNS = (
    CostColumn("Teacher passes", f"teacher_forward{PER_STEP}"),
    CostColumn("Teacher passes", f"teacher_backward{PER_STEP}"),
    CostColumn("Student passes", f"student_forward{PER_STEP}"),
    CostColumn("Student passes", f"student_backward{PER_STEP}"),
    CostColumn("Training", "training_seconds"),
    CostColumn("Training", "peak_memory_bytes"),
)
PASSES = (
    "Passes per student step, in batches: images that went through the whole network (forward), and whose gradient came back to "
    "its output (backward), in all of the training, synthesis and warm-up included, over student steps × batch_size."
)


def with_cost(table: ResultTable) -> ResultTable:
    """A table, and below it one of what its students' training cost, as means over seeds; teachers have no row in that.

    The table's own rows hold these cells too, for formats that put everything into one table.
    """
    groups = [
        replace(group, rows=tuple(replace(row, cells={**row.cells, **_cells(row)}) for row in group.rows))
        for group in table.groups
    ]
    costs = [
        Group(
            group.student,
            tuple(
                replace(row, cells=_cells(row), flattered="", best_known=None, other_code="")
                for row in group.rows
                if row.kind == "student"
            ),
        )
        for group in groups
    ]
    costs = [group for group in costs if group.rows]
    if not costs:
        return table
    rows = [(f"{row.label} on {group.student}", row) for group in costs for row in group.rows]
    cost = replace(
        table,
        columns=COLUMNS,
        stages=(),
        below=(),
        groups=tuple(costs),
        legend=tuple(_legend(rows)),
        warnings=tuple(_warnings(rows)),
        notes=tuple(_notes(rows)),
        beside="",
        tested=False,
        subject="Cost of training",
        part="cost",
    )
    return replace(table, groups=tuple(groups), below=(*table.below, cost))


def costs_of(record: Record) -> dict[str, float]:
    """What is known of the cost of a run, by the names of the columns.

    Passes are in batches of the run's own batch_size, and in images where its method has none.
    """
    training = record.training
    if training is None:
        return {}
    known = {"training_seconds": training.seconds, "peak_memory_bytes": float(training.peak_memory_bytes)}
    if training.passes is not None and training.passes.student_steps:
        images = training.passes.student_steps * record.spec.config.get("batch_size", 1)
        totals = training.passes.model_dump(exclude={"student_steps"})
        known |= {name + PER_STEP: total / images for name, total in totals.items()}
    return known


def _cells(row: Row) -> dict[Column, Cell]:
    """The cells of a row of ours; none for a teacher, a printed row or a difference."""
    if row.kind != "student":
        return {}
    costs = [costs_of(record) for record in row.records]
    return {column: _cell(column, [known[column.key] for known in costs if column.key in known]) for column in COLUMNS}


def _cell(column: Column, values: Sequence[float]) -> Cell:
    """Mean and sample standard deviation over the seeds of which the cost is known; only the mean is shown."""
    if not values:
        return Cell(None, None, NOT_RUN, "")
    mean = fmean(values)
    return Cell(mean, stdev(values) if len(values) > 1 else None, column.show(mean), "")


def _legend(rows: Sequence[tuple[str, Row]]) -> Iterator[str]:
    without = [label for label, row in rows if any("batch_size" not in record.spec.config for record in row.records)]
    yield PASSES + (f" {', '.join(without)}: no batch_size, so in images." if without else "")
    over = " Means over seeds." if any(len(row.seeds) > 1 for _, row in rows) else ""
    yield (
        f"Seconds of training on {_usual_machine(rows)}, beside whatever else ran there; memory at its peak, of the process on a "
        f"CPU, of the allocator on a GPU.{over}"
    )
    if any(cell.mean is None for _, row in rows for cell in row.cells.values()):
        yield f"{NOT_RUN} not recorded."


def _warnings(rows: Sequence[tuple[str, Row]]) -> Iterator[str]:
    """Which rows were trained elsewhere than most, as their seconds say nothing beside the others'."""
    usual = _usual_machine(rows)
    machines = {label: sorted({_machine(record) for record in row.records}) for label, row in rows}
    if others := [f"{label} on {' and on '.join(names)}" for label, names in machines.items() if names != [usual]]:
        yield f"Seconds and memory compare only between runs on the same device; not on {usual}: {'; '.join(others)}."


def _notes(rows: Sequence[tuple[str, Row]]) -> Iterator[str]:
    """Rows of which only some seeds know the passes."""
    for label, row in rows:
        known = sum(COLUMNS[0].key in costs_of(record) for record in row.records)
        if 0 < known < len(row.records):
            yield f"{label}: passes are recorded for {known} of {len(row.records)} seeds only."


def _usual_machine(rows: Sequence[tuple[str, Row]]) -> str:
    """Where most of the runs were trained."""
    return Counter(_machine(record) for _, row in rows for record in row.records).most_common(1)[0][0]


def _machine(record: Record) -> str:
    """Where a run was trained, with the threads where those matter."""
    where, threads = record.environment.device, record.environment.threads
    return f"{where}, {threads} thread{'s' * (threads != 1)}" if where.startswith("cpu") else where
