"""Kinds of `dfrd-bench figure` that are drawn from all the records below some folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfrd_bench.cli.figure_options import RESULTS, Asked, drawing, output, selecting

if TYPE_CHECKING:
    from dfrd_bench.reporting.figures.choice import Wanted


@click.command(epilog="\b\nExample:\n  dfrd-bench figure plane results/digits --suite main -o plane.pdf")
@RESULTS
@output("plane.png")
@selecting(one_attack=True)
def plane(results: tuple[Path, ...], output: Asked, wanted: Wanted) -> None:
    """Draw average accuracy against that of the worst class, a point per method, under one attack.

    Whiskers are 95 % intervals over test images, as in `table --ci`; on the dotted line every class would fare alike.
    """
    from dfrd_bench.reporting.evidence import predictions_beside_records
    from dfrd_bench.reporting.figures.choice import choose_rows
    from dfrd_bench.reporting.figures.plane import plane_figure

    with drawing(results, wanted, output, "plane") as found:
        evidence = predictions_beside_records(wanted.attacks)
        chosen = choose_rows(found.runs, wanted, evidence=evidence, intervals=True)
        found.save(plane_figure(chosen, wanted), chosen.notes)


@click.command(
    epilog="\b\nExample:\n  dfrd-bench figure classes results/digits --suite main --attacks clean,autoattack"
)
@RESULTS
@output("classes.png")
@selecting()
def classes(results: tuple[Path, ...], output: Asked, wanted: Wanted) -> None:
    """Draw the accuracy of each class, of the teacher and of students, a panel per attack; seeds are averaged."""
    from dfrd_bench.reporting.figures.choice import choose_rows
    from dfrd_bench.reporting.figures.classes import classes_figure

    with drawing(results, wanted, output, "classes") as found:
        chosen = choose_rows(found.runs, wanted)
        found.save(classes_figure(chosen), chosen.notes)


@click.command(epilog="\b\nExample:\n  dfrd-bench figure nsd results/digits --track with-data -o nsd.pdf")
@RESULTS
@output("nsd.png")
@selecting()
def nsd(results: tuple[Path, ...], output: Asked, wanted: Wanted) -> None:
    """Draw NSD as bars, a panel per attack, with the teacher's as a dashed line; lower is fairer.

    Where a method and its fair version are among the records (ard and fair-ard), only such pairs are shown, side by side.
    """
    from dfrd_bench.reporting.figures.choice import choose_rows
    from dfrd_bench.reporting.figures.nsd import nsd_figure

    with drawing(results, wanted, output, "nsd") as found:
        chosen = choose_rows(found.runs, wanted)
        found.save(nsd_figure(chosen), chosen.notes)


@click.command(
    epilog="\b\nExample:\n  dfrd-bench figure capacity results/ --suite capacity --track with-data --attack pgd20"
)
@RESULTS
@output("capacity.png")
@selecting(one_attack=True)
def capacity(results: tuple[Path, ...], output: Asked, wanted: Wanted) -> None:
    """Draw NSD against the student's size under one attack: WideResNets by width and by depth, ResNets by layers."""
    from dfrd_bench.reporting.figures.capacity import capacity_figure
    from dfrd_bench.reporting.figures.choice import choose_table

    with drawing(results, wanted, output, "capacity") as found:
        table, notes = choose_table(found.runs, wanted)
        found.save(capacity_figure(table, wanted), notes)


@click.command(
    epilog="\b\nExamples:\n  dfrd-bench figure hyperparameter results/ --suite gamma --x gamma -o gamma.pdf\n"
    "  dfrd-bench figure hyperparameter results/corrections --x synthesis_rounds --along synthesis_steps"
)
@RESULTS
@click.option("--x", "name", required=True, metavar="NAME", help="The hyper-parameter, e.g. gamma.")
@click.option("--along", multiple=True, metavar="NAME", help="One that changes with it; may be repeated.")
@output("hyperparameter.png")
@selecting()
def hyperparameter(results: tuple[Path, ...], name: str, along: tuple[str, ...], output: Asked, wanted: Wanted) -> None:
    """Draw average and worst-class accuracy against a hyper-parameter, of runs that differ in nothing else."""
    from dfrd_bench.reporting.figures.hyperparameter import hyperparameter_figure

    with drawing(results, wanted, output, "hyperparameter") as found:
        found.save(hyperparameter_figure(found.runs, name, along=along, attacks=wanted.attacks))


@click.command(epilog="\b\nExample:\n  dfrd-bench figure beta results/ --suite beta -o beta.pdf")
@RESULTS
@output("beta.png")
@selecting()
def beta(results: tuple[Path, ...], output: Asked, wanted: Wanted) -> None:
    """Draw the class weights after the last epoch at each β, and average and worst-class accuracy against β."""
    from dfrd_bench.reporting.figures.hyperparameter import beta_figure

    with drawing(results, wanted, output, "beta") as found:
        found.save(beta_figure(found.runs, wanted.attacks))


@click.command(epilog="\b\nExample:\n  dfrd-bench figure cost results/digits --suite main -o cost.pdf")
@RESULTS
@output("cost.png")
@selecting(one_attack=True)
def cost(results: tuple[Path, ...], output: Asked, wanted: Wanted) -> None:
    """Draw accuracy under one attack against the minutes that the training took, as the records say; seeds are averaged.

    Times are comparable only between runs made on one machine that did nothing else.
    """
    from dfrd_bench.reporting.figures.choice import choose_rows
    from dfrd_bench.reporting.figures.plane import cost_figure

    with drawing(results, wanted, output, "cost") as found:
        chosen = choose_rows(found.runs, wanted)
        found.save(cost_figure(chosen, wanted), chosen.notes)


@click.command(epilog="\b\nExample:\n  dfrd-bench figure samples results/digits --suite main -o samples.pdf")
@RESULTS
@click.option("--columns", default=4, show_default=True, type=click.IntRange(1, 20), help="Images per class.")
@click.option("--rows", default=10, show_default=True, type=click.IntRange(1, 50), help="Classes.")
@output("samples.png")
@selecting(attacks=False)
def samples(results: tuple[Path, ...], columns: int, rows: int, output: Asked, wanted: Wanted) -> None:
    """Draw synthetic images of several methods side by side, a row per class as the teacher sees it.

    Of each method, the images that its run with the lowest seed kept. (`dfrd-bench samples RUN` draws more of one run.)
    """
    from dfrd_bench.reporting.figures.beside import beside_figure, kept_images
    from dfrd_bench.reporting.figures.choice import choose_rows

    with drawing(results, wanted, output, "samples") as found:
        chosen = choose_rows(found.runs, wanted)
        parts = kept_images(chosen.rows, found.runs)
        record = chosen.rows[0].records[0]
        found.save(beside_figure(parts, record, columns=columns, rows=rows), chosen.notes)
