"""`dfrd-bench figure`: the kinds of figures there are, and what they show."""

from __future__ import annotations

from typing import Any

import click

from dfrd_bench.cli import figure_networks, figure_records, figure_runs
from dfrd_bench.errors import unknown_name

KINDS: dict[str, tuple[click.Command, str]] = {
    "plane": (
        figure_records.plane,
        "average against worst class, with intervals: who is fair, who only good on average",
    ),
    "classes": (figure_records.classes, "accuracy per class, of teacher and students, under each attack (FERD 1)"),
    "nsd": (
        figure_records.nsd,
        "NSD of each method, or of pairs vanilla and fair, and the teacher's line (Fair-ARD 3, 4)",
    ),
    "capacity": (figure_records.capacity, "NSD against the student's width, depth or size (Fair-ARD 1)"),
    "hyperparameter": (figure_records.hyperparameter, "average and worst class against any hyper-parameter (FERD 5)"),
    "beta": (figure_records.beta, "class weights, average and worst class at each β (Fair-ARD 5)"),
    "cost": (figure_records.cost, "accuracy against the time the training took"),
    "samples": (figure_records.samples, "synthetic images of several methods side by side (FERD 6, 7, 10)"),
    "weights": (figure_runs.weights, "class weights over the epochs of a run, and what they did (FERD 4)"),
    "epochs": (figure_runs.epochs, "metrics over the epochs of runs that were probed (FERD 8)"),
    "confusion": (figure_runs.confusion, "a run's confusion matrices and attack targets (FERD 2)"),
    "synthetic-confusion": (figure_networks.synthetic_confusion, "the same of real beside synthetic images (FERD 9)"),
    "curve": (figure_networks.curve, "a run's accuracy against ε: are there gradients to follow?"),
    "landscape": (figure_networks.landscape, "the loss around one image, of one run or several: who hides gradients"),
    "features": (figure_networks.features, "the teacher's features of real and of synthetic images (PCA or t-SNE)"),
}
"""Every kind: its command, and a line about it with the number of the papers' figure that it is like."""

EPILOG = """
\b
Examples:
  dfrd-bench figure plane results/digits -o plane.pdf
  dfrd-bench figure classes results/digits --suite main --attacks clean,autoattack -o classes.svg
  dfrd-bench figure confusion results/digits/digits-wrn-10-2/wrn-10-1/ferd/default-seed1-96fe9e44
"""


class Kinds(click.Group):
    """The kinds in the order above; a wrong one gets the nearest right ones."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All of them."""
        return [*KINDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of them."""
        return KINDS[cmd_name][0] if cmd_name in KINDS else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """As click does, but a wrong name gets the nearest right ones."""
        if args and not args[0].startswith("-") and args[0] not in KINDS:
            raise unknown_name("kind of figure", args[0], KINDS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A line about each."""
        with formatter.section("Kinds"):
            formatter.write_dl([(name, text) for name, (_, text) in KINDS.items()])


@click.group(cls=Kinds, epilog=EPILOG, subcommand_metavar="KIND [ARGS]...")
def figure() -> None:
    """Draw figures for print from records, histories or weights: PDF, SVG or PNG, by the ending of the file.

    They are drawn at the size of print, one or two columns of a page wide, in colours that the colour-blind tell apart; markers,
    lines and hatches do so in grey. In brackets: the figure of FERD or Fair-ARD that a kind is like. docs/figures.md shows all.
    """
