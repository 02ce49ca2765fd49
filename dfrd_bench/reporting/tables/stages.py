"""Accuracy after each stage of an attack that is a sequence of attacks: the columns, and a small table of their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from dfrd_bench.records.schema import Record
from dfrd_bench.reporting.tables.flattered import about_flattered
from dfrd_bench.reporting.tables.layout import (
    NOT_RUN,
    STAGE_PREFIX,
    Column,
    Group,
    ResultTable,
    attack_title,
)
from dfrd_bench.reporting.tables.other_code import about_other_code

NONE_RECORDED = (
    "No attack shown here was recorded with its stages. AutoAttack is from now on; what older records do not hold, only a new "
    "evaluation would tell."
)


def stage_columns(records: Iterable[Record], attacks: Sequence[str]) -> tuple[Column, ...]:
    """A column for each stage that some record holds, attack by attack, in the order in which the stages ran."""
    records = list(records)
    found = {attack: [record.evaluation.attacks.get(attack) for record in records] for attack in attacks}
    return tuple(
        Column(attack, STAGE_PREFIX + stage)
        for attack, results in found.items()
        for stage in dict.fromkeys(stage for result in results if result for stage in result.stages or ())
    )


def stage_gaps(label: str, part: Sequence[Record], columns: Sequence[Column]) -> Iterator[str]:
    """A note for each attack whose stages only some of a row's seeds recorded."""
    for attack in dict.fromkeys(column.attack for column in columns):
        ran = [record.evaluation.attacks[attack] for record in part if attack in record.evaluation.attacks]
        count = sum(result.stages is not None for result in ran)
        if 0 < count < len(ran):
            yield f"{label}: the stages of {attack_title(attack)} are recorded for {count} of {len(ran)} seeds only."


def with_stages(tables: Iterable[ResultTable]) -> Iterator[ResultTable]:
    """Each table, and below it one for each attack whose stages are to be shown; our own rows only, none of a paper."""
    for table in tables:
        yield table
        for attack in dict.fromkeys(column.attack for column in table.stages):
            yield _stage_table(table, attack)
        yield from table.below


def _stage_table(table: ResultTable, attack: str) -> ResultTable:
    columns = tuple(column for column in table.stages if column.attack == attack)
    groups = [Group(group.student, tuple(row for row in group.rows if row.seeds)) for group in table.groups]
    texts = {row.cells[column].text for group in groups for row in group.rows for column in columns}
    absent = f" {NOT_RUN} not recorded." if NOT_RUN in texts else ""
    return replace(
        table,
        columns=columns,
        groups=tuple(group for group in groups if group.rows),
        stages=(),
        below=(),
        legend=(
            "Accuracy (%) after each stage, in the order in which they ran: each attacks the images that are still standing, and "
            f"the last leaves the accuracy under {attack_title(attack)} itself.{absent}",
            *filter(None, (about_flattered(groups), about_other_code(groups))),
        ),
        warnings=(),
        notes=(),
        beside="",
        tested=False,
        subject=f"What the stages of {attack_title(attack)} leave",
    )
