"""What the kinds of `dfrd-bench figure` share: their options, and how a figure is drawn to a file."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from dfrd_bench.records.schema import Record
    from dfrd_bench.reporting.evidence import Run
    from dfrd_bench.reporting.figures.choice import Wanted
    from dfrd_bench.reporting.found import Found

Command = Callable[..., Any]

RESULTS = click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RESULTS_DIR...")
RUN = click.argument("run", type=click.Path(path_type=Path))
RUNS = click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
TRACKS = ("data-free", "with-data", "both")


@dataclass(frozen=True)
class Output:
    """Where a figure goes, how fine a PNG is, and whether the user chose the place."""

    path: Path
    dpi: int
    chosen: bool = True

    def save(self, figure: Any) -> None:
        """Write it, and say where it is."""
        from dfrd_bench.reporting.figures.saving import save_figure

        save_figure(figure, self.path, dpi=self.dpi)
        click.echo(self.path)
        if not self.chosen:
            click.echo(f"(It is in {self.path.absolute().parent}, as no -o FILE was given.)", err=True)


@dataclass(frozen=True)
class Asked:
    """Where the user wants a figure, and how fine."""

    path: Path | None
    dpi: int

    def place(self, default: Path) -> Output:
        """Where it goes: what is wrong with that is said before anything is computed.

        Raises:
            DfrdBenchError: its ending names no format, or it cannot be written.
        """
        from dfrd_bench.records.files import check_writable
        from dfrd_bench.reporting.figures.saving import picture_format

        path = self.path or default
        picture_format(path)
        check_writable(path)
        return Output(path, self.dpi, self.path is not None)


def output(default: str) -> Callable[[Command], Command]:
    """`-o FILE` and `--dpi`: where the figure goes; its ending says the format. The command gets them as `output`."""
    where = default if "/" in default else f"{default} in the current folder"
    options = [
        click.option(
            "-o",
            "--output",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help=f"{where} by default; .pdf, .svg and others by their ending.",
        ),
        click.option(
            "--dpi", default=200, show_default=True, type=click.IntRange(50, 1200), help="Dots per inch of a PNG."
        ),
    ]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def placed(output: Path | None, dpi: int, **values: Any) -> Any:
            return command(output=Asked(output, dpi), **values)

        for option in reversed(options):
            option(placed)
        return placed

    return decorate


def selecting(*, one_attack: bool = False, attacks: bool = True) -> Callable[[Command], Command]:
    """Options that choose among the records found; the command gets them as `wanted`.

    Args:
        one_attack: whether the figure shows one attack only.
        attacks: whether there is anything to choose among attacks.
    """
    listed = (
        "Show this attack; the strongest that all ran by default."
        if one_attack
        else "Show only these, e.g. clean,pgd20."
    )
    options = [
        click.option("--dataset", metavar="NAME", help="Only its runs, by the name that records give it."),
        click.option("--teacher", metavar="NAME", help="Only students of this teacher."),
        click.option("--student", metavar="NAME", help="Only this architecture; the one with most rows by default."),
        click.option("--method", "methods", multiple=True, metavar="NAME", help="Only this one; may be repeated."),
        click.option("--suite", metavar="NAME", help="Only the rows of a suite, as in `table`."),
        click.option(
            "--track",
            type=click.Choice(TRACKS),
            help="Methods without data, with data, or both; those without, where there are any, by default.",
        ),
    ]
    name = ("--attack",) if one_attack else ("--attacks",)
    options += [click.option(*name, "attacks", metavar="NAME" if one_attack else "A,B", help=listed)] if attacks else []

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def selected(**values: Any) -> Any:
            return command(wanted=_wanted(values), **values)

        for option in reversed(options):
            option(selected)
        return selected

    return decorate


def _wanted(values: dict[str, Any]) -> Wanted:
    from dfrd_bench.reporting.figures.choice import Wanted
    from dfrd_bench.runs.request import names

    fields = ("dataset", "teacher", "student", "methods", "suite", "track")
    listed = values.pop("attacks", None)
    given = {name: values.pop(name) for name in fields}
    return Wanted(**given, attacks=None if listed is None else names(listed))


@dataclass(frozen=True)
class Drawing:
    """Records from which a figure is drawn, and the file that it goes to."""

    runs: list[Run]
    output: Output

    def save(self, figure: Any, notes: Sequence[str] = ()) -> None:
        """Write it, after the notes, and say where it is."""
        for note in notes:
            click.echo(note, err=True)
        self.output.save(figure)


@contextmanager
def drawing(results: Sequence[Path], wanted: Wanted, asked: Asked, kind: str) -> Iterator[Drawing]:
    """Find the runs of a figure; at the end the exit code is 1 if some record had to be skipped.

    Raises:
        DfrdBenchError: there is nothing to draw, or nowhere to write it.
    """
    from dfrd_bench.reporting.figures.choice import narrowed_runs

    target = asked.place(Path(f"{kind}.png"))
    found = _found(results)
    yield Drawing(narrowed_runs(found.runs, wanted, results), target)
    if found.skipped:
        sys.exit(1)


def _found(results: Sequence[Path]) -> Found:
    from dfrd_bench.cli.printing import usable
    from dfrd_bench.reporting.found import believed, find_runs

    return usable(believed(find_runs(results)))


def read_runs(folders: Sequence[Path]) -> list[tuple[Path, Record]]:
    """Runs with their records, all of which must be believed.

    Raises:
        DfrdBenchError: one is not.
    """
    from dfrd_bench.evaluation.contradictions import believed_record

    return [(folder, believed_record(folder)) for folder in folders]
