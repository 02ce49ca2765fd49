"""What a student entry point is: a named architecture that builds a freshly initialised network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.registry import STUDENTS

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Architecture:
    """A network family member.

    Attributes:
        summary: one line for `dfrd-bench list students`.
        build: (argument, image channels, classes) -> network. The argument is what followed the colon in the name, or "".
        takes_argument: whether the name may carry one (`wrn:16-2`).
    """

    summary: str
    build: Callable[[str, int, int], nn.Module]
    takes_argument: bool = False


def build_network(name: str, *, channels: int, num_classes: int, seed: int) -> nn.Module:
    """Build a registered architecture with weights drawn from a seed, leaving the global random state as it was.

    Args:
        name: a name of `dfrd-bench list students`, with its argument if it takes one (`wrn:16-3`).
        channels: image channels.
        num_classes: number of logits.
        seed: seed of the initial weights.

    Raises:
        DfrdBenchError: no such architecture, or an argument it cannot take.
    """
    import torch

    architecture: Architecture = STUDENTS.get(name)
    _, argument = STUDENTS.parse(name)
    with torch.random.fork_rng(devices=[]):  # networks are built on the CPU
        torch.default_generator.manual_seed(seed)
        try:
            return architecture.build(argument, channels, num_classes)
        except ValueError as error:
            raise DfrdBenchError(f"Student {name!r} cannot be built: {error}") from error
