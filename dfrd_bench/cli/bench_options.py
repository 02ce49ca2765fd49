"""Options that several commands of `dfrd-bench bench` have, and their examples."""

from __future__ import annotations

from pathlib import Path

import click

from dfrd_bench.cli import options

EXAMPLES = """
\b
Examples:
  dfrd-bench bench methods --methods ferd --threads 1
  dfrd-bench bench methods --dataset random --device cuda --precision bf16 --batch-size 256 --json methods.json
  dfrd-bench bench attacks --attacks fgsm,pgd20,cw --images 300
  dfrd-bench bench autoattack student.safetensors --arch wrn-10-1 --images 300
  dfrd-bench bench profile --dataset paper --device cuda --methods ferd
  dfrd-bench bench startup
  dfrd-bench bench agreement
  dfrd-bench bench trainings --methods fast,ferd --seeds 0-2 --epochs 8 --warmup-epochs 1
"""


def example(beginning: str) -> str:
    """The examples of one sub-command."""
    lines = [line for line in EXAMPLES.splitlines() if line.strip().startswith(f"dfrd-bench bench {beginning}")]
    return "\n".join(["", "\b", "Examples:", *lines, ""])


dataset = click.option(
    "--dataset", default="digits", show_default=True, metavar="digits|random|paper", help="See docs/performance.md."
)
batch_size = click.option("--batch-size", type=int, metavar="N", help="Images per batch; the preset's by default.")
threads = click.option(
    "--threads", type=click.IntRange(1), metavar="N", help="Of the CPU; PyTorch's choice by default."
)
as_json = click.option(
    "--json", "target", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write all numbers."
)
chosen_methods = click.option("--methods", metavar="A,B", help="All by default.")
steps = click.option(
    "--steps", default=5, show_default=True, type=click.IntRange(1), help="Of synthesis and of the student in a turn."
)


def repetitions(default: int) -> options.Option:
    """`--repetitions N`."""
    return click.option(
        "--repetitions", default=default, show_default=True, type=click.IntRange(1), help="Turns that count, of each."
    )
