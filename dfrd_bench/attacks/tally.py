"""How a network is told of passes that others make in its place, and where it keeps their number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

COUNT = "_dfrd_bench_count"  # the attribute by which a network is told of passes that its folded copy made in its place
TALLY = "_dfrd_bench_tally"  # the attribute with the number of images that have passed through it


@dataclass
class Tally:
    """How many images have passed through a network, forwards and backwards."""

    forward: int = 0
    backward: int = 0

    def add(self, forward: int, backward: int) -> None:
        """So many more."""
        self.forward += forward
        self.backward += backward


def tally_of(network: nn.Module) -> Tally:
    """What counts a network's passes, or one that nobody reads where they are not counted."""
    tally: Tally = vars(network).get(TALLY) or Tally()
    return tally
