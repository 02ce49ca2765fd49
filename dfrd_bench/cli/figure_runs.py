"""Kinds of `dfrd-bench figure` that are drawn from single runs: their records and histories."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dfrd_bench.cli.figure_options import RESULTS, RUN, RUNS, Asked, drawing, output, read_runs, selecting

if TYPE_CHECKING:
    from dfrd_bench.reporting.figures.choice import Wanted

CONFUSION_EXAMPLES = """
\b
Examples:
  dfrd-bench figure confusion results/digits/digits-wrn-10-2/wrn-10-1/ferd/default-seed1-96fe9e44
  dfrd-bench figure confusion RUN --attack pgd20 -o pgd20.pdf
"""
WEIGHTS_EXAMPLES = """
\b
Examples:
  dfrd-bench figure weights results/digits --method fair-ard --method ard -o weights.pdf
  dfrd-bench figure weights RUN --against OTHER_RUN
"""


@click.command(epilog=CONFUSION_EXAMPLES)
@RUN
@click.option("--attack", metavar="NAME", help="Draw only this attack; by default all that were run.")
@output("RUN/confusion.png")
def confusion(run: Path, attack: str | None, output: Asked) -> None:
    """Draw RUN's confusion matrix under every attack, and the classes its misclassified images are taken for.

    Rows are true classes, columns predicted ones; darker is a larger share of the true class. The bars below show of all
    misclassified images the share taken for each class; their entropy is 1 where no class is preferred.
    """
    from dfrd_bench.evaluation.contradictions import believed_record
    from dfrd_bench.reporting.figures.confusion import CONFUSION_FILE, confusion_figure

    figure = confusion_figure(believed_record(run), attack)
    output.place(run / CONFUSION_FILE).save(figure)


@click.command(epilog=WEIGHTS_EXAMPLES)
@RESULTS
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Compare with this run; by default with one of equal weights, where there is one.",
)
@output("weights.png")
@selecting(one_attack=True)
def weights(results: tuple[Path, ...], against: Path | None, output: Asked, wanted: Wanted) -> None:
    """Draw the class weights of a run after each epoch, and the accuracy per class beside that of equal weights.

    RESULTS_DIR may be the run. Of several runs with class weights one that has a counterpart with equal weights is taken: the
    same method with reweighting=false, or ard of fair-ard.
    """
    from dfrd_bench.errors import DfrdBenchError
    from dfrd_bench.reporting.figures.choice import one_attack_of
    from dfrd_bench.reporting.figures.weights import equal_weights, weights_figure, with_weights

    with drawing(results, wanted, output, "weights") as found:
        weighed = with_weights(found.runs)
        if not weighed:
            raise DfrdBenchError(
                "No run here has class weights in its history: methods that reweight keep them (ferd, fair-ard)."
            )
        other = next(((str(folder), record) for folder, record in read_runs([against] if against else [])), None)
        pairs = [(run, other or equal_weights(run, found.runs)) for run in weighed]
        run, counterpart = next((pair for pair in pairs if pair[1] is not None), pairs[0])
        notes = [f"Shown: {run[0]}." + (f" Beside it: {counterpart[0]}." if counterpart else "")]
        found.save(weights_figure(run, counterpart, one_attack_of(wanted)), notes if len(found.runs) > 1 else ())


@click.command(
    epilog="\b\nExamples:\n  dfrd-bench run --method ferd --probe 5 --results probed/\n"
    "  dfrd-bench figure epochs probed/ -o epochs.pdf"
)
@RUNS
@click.option(
    "--on",
    "source",
    type=click.Choice(["synthetic", "training", "test"]),
    help="Probes on these images; on those that all runs have by default.",
)
@output("epochs.png")
def epochs(runs: tuple[Path, ...], source: str | None, output: Asked) -> None:
    """Draw accuracy, worst class and NSD over the epochs of runs that were made with `run --probe N`.

    RUN may also be a folder of several. The numbers are of a cheap attack on few images: they show when a training settles, and
    are no results.
    """
    from dfrd_bench.reporting.figures.choice import Wanted
    from dfrd_bench.reporting.figures.epochs import epochs_figure

    with drawing(runs, Wanted(), output, "epochs") as found:
        students = [run for run in found.runs if run[1].spec.kind == "student"]
        found.save(epochs_figure(students, source))
