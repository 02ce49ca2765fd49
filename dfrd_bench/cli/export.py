"""`dfrd-bench export`: a student for others, with what it is and how robust."""

from __future__ import annotations

from pathlib import Path

import click

from dfrd_bench.cli import options

EPILOG = """
\b
Formats:
  safetensors   the weights alone, with the record, the predictions and a model card: always
  torch         a program for PyTorch alone, with gradients (torch.export.load)
  onnx          a program for onnxruntime and others (extra [onnx])
  robustbench   an entry for RobustBench's leaderboard, of its datasets

\b
Examples:
  dfrd-bench export results/digits/digits-wrn-10-2/wrn-10-1/ferd/default-seed1-96fe9e44 -o ferd-student
  dfrd-bench export RUN -o student --format safetensors,onnx
  dfrd-bench export RUN -o student --authors "A. Author, B. Author" --model-name Author2026Paper --no-additional-data
"""


@click.command(epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="DIR", help="The new folder.")
@click.option("--format", "formats", metavar="A,B", help="Only these formats; all that can be had by default.")
@click.option("--model-name", metavar="NAME", help="RobustBench's entry: its name there, as Author2026Word.")
@click.option("--authors", metavar="NAMES", help="RobustBench's entry: whose paper it is.")
@click.option(
    "--additional-data/--no-additional-data",
    default=None,
    help="RobustBench's entry: whether more than the training images went into it, its teacher's training included.",
)
@options.quiet
def export(
    run: Path,
    output: Path,
    formats: str | None,
    model_name: str | None,
    authors: str | None,
    additional_data: bool | None,
    quiet: bool,
) -> None:
    """Pack the student of a finished run into a new folder, with a model card, as programs, and for RobustBench.

    The programs are asked for the same logits (to 1e-4) and classes as the network, before anything appears in DIR.
    """
    from dfrd_bench.cli.progress import watching
    from dfrd_bench.exchange.export import export as exported
    from dfrd_bench.runs.request import names

    with watching(quiet) as observer:
        done = exported(
            run,
            output,
            formats=None if formats is None else names(formats),
            model_name=model_name,
            authors=authors,
            additional_data=additional_data,
            progress=observer.on_data,
        )
    for file in done.files:
        click.echo(done.folder / file)
    for note in done.notes:
        click.echo(f"Note: {note}", err=True)
