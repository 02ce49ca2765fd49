"""What commands ask that print for a paper: into which file; how wide LaTeX is, its caption and label, where notes stand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

if TYPE_CHECKING:
    from dfrd_bench.reporting.paper import Paper

Command = TypeVar("Command", bound=Callable[..., Any])
Notes = Literal["below", "caption", "none"]
into_file = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write to a file instead of the terminal.",
)


def for_a_paper(command: Command) -> Command:
    """Add `--wide`, `--caption`, `--label` and `--notes` to a command; see `paper_of`."""
    options = [
        click.option(
            "--wide", is_flag=True, help="LaTeX: across both columns of a page (table*), else no wider than one."
        ),
        click.option(
            "--caption", metavar="TEXT", help="LaTeX: the caption, as LaTeX; by default what the table is of."
        ),
        click.option("--label", metavar="NAME", help="LaTeX: the label, e.g. tab:digits."),
        click.option(
            "--notes",
            type=click.Choice(["below", "caption", "none"]),
            default="below",
            show_default=True,
            help="LaTeX: where what the numbers mean is said: below the table (threeparttable), in its caption, or nowhere.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def paper_of(style: str, wide: bool, caption: str | None, label: str | None, notes: Notes) -> Paper:
    """These options together.

    Raises:
        DfrdBenchError: one was given, and the format is another.
    """
    from dfrd_bench.errors import DfrdBenchError
    from dfrd_bench.reporting.paper import Paper

    paper = Paper(wide, caption, label, notes)
    if style != "latex" and paper != Paper():
        raise DfrdBenchError("--wide, --caption, --label and --notes are for --format latex.")
    return paper
