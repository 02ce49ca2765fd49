"""Options that several commands share, and the parsing of their values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from dfrd_bench.attacks import STANDARD_ATTACKS
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.settings import number

device = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
results = click.option("--results", default="results", show_default=True, metavar="DIR", help="Folder of all results.")
quiet = click.option("--quiet", is_flag=True, help="No progress, only the outcome.")
attacks = click.option(
    "--attacks",
    default=",".join(STANDARD_ATTACKS),
    show_default=True,
    metavar="A,B,…",
    help="Attacks to run (see `list attacks`).",
)
precision = click.option(
    "--precision", default="fp32", show_default=True, type=click.Choice(["fp32", "tf32", "bf16"]), help="Of training."
)
compiled = click.option(
    "--compile", "compiled", is_flag=True, help="Compile the student with torch.compile: for long runs on a GPU."
)
teacher_arch = click.option(
    "--teacher-arch", metavar="NAME", help="Architecture of a checkpoint: teacher (see `list students`)."
)
data_dir = click.option(
    "--data-dir", metavar="DIR", help="Where the dataset's files are already; downloaded once into a cache by default."
)
test_images = click.option(
    "--test-images", type=int, metavar="N", help="Test on N images only: the first N / classes of each class."
)


def names(text: str) -> tuple[str, ...]:
    """Split a comma-separated list, dropping blanks and repetitions."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """`name=value` texts to values by name; values are read as YAML scalars (0.5, true, null, softmax).

    Raises:
        DfrdBenchError: a text without a name or a value.
    """
    import yaml

    values: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name.strip():
            raise DfrdBenchError(f"--set takes name=value, not {pair!r}.")
        try:
            values[name.strip()] = number(yaml.safe_load(value))
        except yaml.YAMLError as error:
            raise DfrdBenchError(f"--set {pair!r}: the value cannot be read.") from error
    return values
