"""What the commands of `dfrd-bench bench` share: the case from their options, a bar, the table, the file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from dfrd_bench.benchmarks.speed.cases import Case


def case(
    dataset: str, device: str, precision: Any, batch_size: int | None, threads: int | None, target: Path | None
) -> Case:
    """What the options ask for, checked before anything long begins."""
    from dfrd_bench.benchmarks.speed.cases import Case
    from dfrd_bench.errors import unknown_name

    check(target)
    from dfrd_bench.benchmarks.speed.cases import CASES

    if dataset not in CASES:
        raise unknown_name("dataset of the benchmark", dataset, CASES)
    import torch

    from dfrd_bench.problem import Precision
    from dfrd_bench.runs.environment import choose_device

    if threads is not None:
        torch.set_num_threads(threads)
    return Case(dataset, choose_device(device), Precision(precision), batch_size)


def methods(names: str | None) -> tuple[str, ...]:
    from dfrd_bench.benchmarks.speed.cases import checked_methods
    from dfrd_bench.runs.request import names as split

    chosen: tuple[str, ...] = checked_methods(() if names is None else tuple(split(names)))
    return chosen


def check(target: Path | None) -> None:
    from dfrd_bench.records.files import check_writable

    if target is not None:
        check_writable(target)


def say_paired(rows: list[dict[str, Any]]) -> None:
    from dfrd_bench.benchmarks.speed.report import table
    from dfrd_bench.cli.printing import say

    say(table(rows) + "\n")


def write(target: Path | None, case: Case | None, content: dict[str, Any]) -> None:
    """All numbers, and where and on what they were measured."""
    if target is None:
        return
    import torch

    from dfrd_bench.benchmarks.speed.report import machine
    from dfrd_bench.records.files import write_atomically

    device = torch.device("cpu") if case is None else case.device
    about: dict[str, Any] = {"machine": machine(device)}
    if case is not None:
        about |= {"dataset": case.name, "precision": case.precision.name, "batch_size": case.images_per_batch}
    write_atomically(target, json.dumps({**about, **content}, indent=1).encode())
    click.echo(f"Wrote {target}.")


@contextmanager
def progress(quiet: bool, title: str, turns: int) -> Iterator[Callable[[], None]]:
    """A bar on a terminal, told after every turn."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=quiet or not console.is_terminal, transient=True) as bar:
        task = bar.add_task(title, total=turns)
        yield lambda: bar.advance(task)
