"""The numbers behind the charts, as columns of plain values."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dfrd_bench.records.schema import Record
from dfrd_bench.reporting.site.boards import Board, minutes
from dfrd_bench.reporting.site.labels import placed
from dfrd_bench.reporting.tables.layout import ATTACK_TITLES, Column, attack_title

MOST_POINTS = 200  # of a curve; longer ones are thinned
MOST_CLASSES = 20  # up to which a class has a row of its own in a chart
CLOCK = ("epoch", "seconds")
FIRST_NAMED = ("Teacher", "Unbeaten", "Flattered ‡")  # kinds of points whose names are drawn before any other's
Value = str | float | int | bool | None


@dataclass(frozen=True)
class Table:
    """Columns by name, and rows in that order."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]

    def as_json(self) -> dict[str, Any]:
        """For a script, which makes an object of each row."""
        return {"columns": self.columns, "rows": self.rows}


def in_order(attacks: Iterable[str]) -> list[str]:
    """Attacks in the papers' order, others by name behind them."""
    known = set(attacks)
    return [*(name for name in ATTACK_TITLES if name in known), *sorted(known - ATTACK_TITLES.keys())]


def plane(board: Board) -> Table:
    """Average against worst class of every row under the headline attack, with intervals over test images."""
    average, worst = Column(board.headline, "average"), Column(board.headline, board.worst)
    rows, named = [], board.named_rows
    points = [(row.cells[average].mean, row.cells[worst].mean) for _, row in named]
    students = [point for point, (_, row) in zip(points, named, strict=True) if row.kind == "student"]
    for (x, y), (name, row) in zip(points, named, strict=True):
        if x is None or y is None:
            continue
        ahead = row.kind == "student" and not any(_beats(other, (x, y)) for other in students)
        kind = "Teacher" if row.kind == "teacher" else "Unbeaten" if ahead else "Beaten"
        rows.append(
            (
                *(name, kind, _percent(x), _percent(y)),
                *_interval(row.cells[average].interval, x),
                *_interval(row.cells[worst].interval, y),
            )
        )
    return _labelled(
        ("name", "kind", "x", "y", "x1", "x2", "y1", "y2"), rows, lambda row: row[1] != "Beaten" or _is_plain(row)
    )


def _beats(one: tuple[float | None, float | None], other: tuple[float, float]) -> bool:
    """Whether one is at least as good in both, and better in one."""
    x, y = one
    return x is not None and y is not None and x >= other[0] and y >= other[1] and (x, y) != other


def hidden(board: Board) -> Table:
    """PGD-20 against AutoAttack of every row that ran both."""
    pgd, strong = Column("pgd20", "average"), Column("autoattack", "average")
    rows = []
    for name, row in board.named_rows:
        x, y = (row.cells[c].mean if c in row.cells else None for c in (pgd, strong))
        if x is not None and y is not None:
            kind = "Teacher" if row.kind == "teacher" else "Flattered ‡" if row.flattered else "Not flattered"
            rows.append((name, kind, _percent(x), _percent(y), _percent(x - y)))
    return _labelled(
        ("name", "kind", "x", "y", "gap"), rows, lambda row: row[1] == "Flattered ‡", corners=((0, 0), (100, 100))
    )


def cost(board: Board) -> Table:
    """Minutes of training against average accuracy under the headline attack, of every student that knows them."""
    column = Column(board.headline, "average")
    rows = []
    for name, row in board.named_rows:
        if row.kind != "student":
            continue
        took, value = minutes(row), row.cells[column].mean
        if took and took > 0 and value is not None:
            devices = " and ".join(dict.fromkeys(record.environment.device for record in row.records))
            rows.append((name, devices, float(f"{took:.3g}"), _percent(value)))  # never 0, as the axis is logarithmic
    return _labelled(
        ("name", "device", "x", "y"), rows, lambda _: True, log_x=True, corners=[(float(row[2]), 0.0) for row in rows]
    )


def _labelled(
    columns: tuple[str, ...],
    rows: list[tuple[Any, ...]],
    wanted: Callable[[tuple[Any, ...]], bool],
    *,
    log_x: bool = False,
    corners: Sequence[tuple[float, float]] = (),
) -> Table:
    """Points, and for each the name that is drawn beside it and on which side; plain rows choose before variants."""
    rows = sorted(rows, key=lambda row: row[1] not in FIRST_NAMED and not _is_plain(row))
    points = [(float(row[2]), float(row[3]), str(row[0])) for row in rows]
    names = placed(points, wanted=[wanted(row) for row in rows], log_x=log_x, corners=corners)
    return Table((*columns, "label", "side"), tuple((*row, *name) for row, name in zip(rows, names, strict=True)))


def _is_plain(row: Sequence[Any]) -> bool:
    """Whether its name says nothing of a variant."""
    return "(" not in str(row[0])


def classes(board: Board) -> Table:
    """Accuracy per class of every row under every attack, mean over seeds; none with more than `MOST_CLASSES` classes."""
    rows: list[tuple[Value, ...]] = []
    for name, row in board.named_rows:
        for attack in board.table.attacks:
            results = [r.evaluation.attacks[attack].per_class for r in row.records if attack in r.evaluation.attacks]
            labels = row.records[0].dataset.info.class_names
            if not results or len(labels) > MOST_CLASSES:
                continue
            for k, label in enumerate(labels):
                values = [value for result in results if (value := result[k]) is not None]
                if values:
                    rows.append((name, label, attack_title(attack), _percent(sum(values) / len(values))))
    return Table(("row", "class", "attack", "value"), tuple(rows))


def run_classes(record: Record) -> Table:
    """Accuracy of each class of one run under every attack."""
    rows: list[tuple[Value, ...]] = []
    for attack in in_order(record.evaluation.attacks):
        per_class = record.evaluation.attacks[attack].per_class
        rows += [
            (name, attack_title(attack), _percent(value))
            for name, value in zip(record.dataset.info.class_names, per_class, strict=True)
            if value is not None
        ]
    return Table(("class", "attack", "value"), tuple(rows))


def confusion(record: Record) -> Table:
    """Which class each true class was taken for under every attack; none with more than `MOST_CLASSES` classes."""
    names = record.dataset.info.class_names
    rows: list[tuple[Value, ...]] = []
    if len(names) <= MOST_CLASSES:
        for attack in in_order(record.evaluation.attacks):
            for true, counts in zip(names, record.evaluation.attacks[attack].confusion, strict=True):
                total = sum(counts) or 1
                rows += [
                    (attack_title(attack), true, taken, count, _percent(count / total))
                    for taken, count in zip(names, counts, strict=True)
                ]
    return Table(("attack", "true", "taken", "count", "share"), tuple(rows))


def curves(lines: Sequence[str]) -> tuple[Table, dict[str, Table]]:
    """What a run's history says: single numbers over epochs, and families such as class weights, `p/0, p/1, …`.

    Args:
        lines: of the history, JSON each; what is no object with an epoch is left out.

    Returns:
        (series, epoch, value), and for each family (member, epoch, value).
    """
    epochs = [found for line in lines if isinstance(found := _parsed(line), dict) and "epoch" in found]
    step = max(1, math.ceil(len(epochs) / MOST_POINTS))
    single: list[tuple[Value, ...]] = []
    families: dict[str, list[tuple[Value, ...]]] = {}
    for numbers in epochs[::step]:
        for name, value in numbers.items():
            if (
                name in CLOCK
                or isinstance(value, bool)
                or not isinstance(value, (int, float))
                or not math.isfinite(value)
            ):
                continue
            family, _, member = name.partition("/")
            into, key = (families.setdefault(family, []), member) if member else (single, name)
            into.append((key, numbers["epoch"], float(f"{value:.4g}")))
    columns = ("series", "epoch", "value")
    return Table(columns, tuple(single)), {name: Table(columns, tuple(rows)) for name, rows in families.items()}


def named(table: Table, names: Sequence[str]) -> Table:
    """A family's table whose members are numbers of classes, with the classes' names in their place."""
    known: Mapping[str, str] = {str(k): name for k, name in enumerate(names)}
    return Table(table.columns, tuple((known.get(str(first), first), *rest) for first, *rest in table.rows))


def _parsed(line: str) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _percent(value: float) -> float:
    return round(100 * value, 2)


def _interval(bounds: tuple[float, float] | None, value: float) -> tuple[float, float]:
    low, high = bounds or (value, value)
    return _percent(low), _percent(high)
