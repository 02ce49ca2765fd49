"""What several commands print, and how: for any width, and for pipes that cannot carry every character."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

from dfrd_bench.cli.streams import HANDLER, clean, one_line
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.files import write_atomically

if TYPE_CHECKING:
    from dfrd_bench.records.schema import EvaluationRecord
    from dfrd_bench.reporting.found import Found

UNLIMITED = 100_000  # columns


class SafeConsole(Console):
    """Rich's console, that moves the cursor where Rich wants it and nobody else."""

    @property
    def file(self) -> IO[str]:
        """Below what Rich itself puts over a stream while a bar is shown, and below what guards that stream."""
        found = super().file
        below: IO[str] = getattr(found, "rich_proxied_file", found)
        return below

    @file.setter
    def file(self, new_file: IO[str]) -> None:
        self._file = new_file

    def on_broken_pipe(self) -> None:
        """The reader has seen enough: what the rest of the program makes of it, not Rich's exit code 1."""
        raise BrokenPipeError

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """As Rich does, with every text cleaned."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(clean(segment.text), segment.style)


class Pipe(SafeConsole):
    """What is no terminal: as wide as it has to be, so that no path is broken across lines, and nothing is cut."""

    def __init__(self) -> None:
        super().__init__(width=UNLIMITED, highlight=False)

    def print(self, *objects: Any, **how: Any) -> None:
        """As Rich does, without the blanks that it puts behind the last column."""
        with self.capture() as taken:
            super().print(*objects, **how)
        self.file.write("\n".join(line.rstrip(" ") for line in taken.get().split("\n")))


def console() -> Console:
    """The terminal as wide as it is, or a pipe."""
    terminal = SafeConsole(highlight=False)
    return terminal if terminal.is_terminal else Pipe()


def say(text: str) -> None:
    """Print a whole text; what the output's encoding lacks is spelled out."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    click.echo(text.encode(encoding, HANDLER).decode(encoding), nl=False)


def put(text: str, output: Path | None) -> None:
    """Print a whole text, or write it to a file, whole, and say so."""
    if output is None:
        say(text)
        return
    write_atomically(output, text.encode())
    click.echo(f"Wrote {output}.")


def usable(found: Found) -> Found:
    """What was found, after what had to be skipped is named on stderr.

    Raises:
        DfrdBenchError: nothing else was found.
    """
    for reason in found.skipped:
        click.echo(f"Skipped: {one_line(reason)}", err=True)
    if not found.runs:
        raise DfrdBenchError("None of the records found is valid. Repair or delete those named above, or run again.")
    return found


EXPENDABLE = (7, 5, 4, 2, 6)  # columns of an outcome: seconds, worst 10 %, the intervals, NSD


def print_outcome(evaluation: EvaluationRecord, class_names: Sequence[str] = ()) -> None:
    """A small table: one row per attack, with the 95% interval of the average and of the worst class; which class that is, below.

    Args:
        evaluation: of a network.
        class_names: of its dataset; without them the worst class is not named.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("attack")
    for heading in ("average %", "95 %", "worst class %", "95 %", "worst 10 %", "NSD", "seconds"):
        table.add_column(heading, justify="right")
    for name, attack in evaluation.attacks.items():
        table.add_row(
            name,
            f"{100 * attack.average:.2f}",
            _interval(attack.intervals.get("average")),
            f"{100 * attack.worst_class:.2f}",
            _interval(attack.intervals.get("worst_class")),
            f"{100 * attack.worst_10:.2f}",
            "–" if attack.nsd is None else f"{attack.nsd:.3f}",
            f"{attack.seconds:.1f}",
        )
    place = console()
    left_out = fit(table, place, EXPENDABLE)
    place.print(table)
    if left_out:
        place.print(f"Left out, as the terminal is narrow: {', '.join(left_out)}.")
    if said := worst_classes(evaluation, class_names):
        place.print(f"worst class: {said}", markup=False, soft_wrap=True)
    place.print(f"survives every attack: {100 * evaluation.worst_case:.2f} %")


MOST_TIED = 3  # classes that are named where all are worst


def worst_classes(evaluation: EvaluationRecord, class_names: Sequence[str]) -> str:
    """Which class is the worst under which attacks; "" where the classes' names are not known."""
    found: dict[str, list[str]] = {}
    for name, attack in evaluation.attacks.items():
        if len(attack.per_class) == len(class_names):
            tied = [one for one, part in zip(class_names, attack.per_class, strict=True) if part == attack.worst_class]
            more = f" or {len(tied) - MOST_TIED} more" if len(tied) > MOST_TIED else ""
            found.setdefault(" or ".join(tied[:MOST_TIED]) + more, []).append(name)
    return "; ".join(f"{worst} ({', '.join(attacks)})" for worst, attacks in found.items() if worst)


def fit(table: Table, place: Console, expendable: Sequence[int]) -> list[str]:
    """Drop columns until the others have room for their numbers.

    Args:
        table: whose columns.
        place: where it shall fit.
        expendable: places of the columns that may go, the first of them first.

    Returns:
        The headings of those that went, from left to right.
    """
    unlimited, columns, gone = place.options.update(width=UNLIMITED), list(table.columns), set()
    for number in expendable:
        if place.measure(table, options=unlimited).maximum <= place.width:
            break
        gone.add(number)
        table.columns = [column for other, column in enumerate(columns) if other not in gone]
    return list(dict.fromkeys(str(columns[number].header) for number in sorted(gone)))


def _interval(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f"{100 * bounds[0]:.1f}–{100 * bounds[1]:.1f}"
