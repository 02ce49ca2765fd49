"""Means class by class over batches, against the means of each class's images."""

from __future__ import annotations

import tiny
import torch

from dfrd_bench.distillation.tally import ClassTally

LABELS = torch.tensor([0, 2, 2, 0, 2, 0])
VALUES = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0], [9.0, 13.0], [10.0, 2.0]])


def test_is_over_all_batches_since_the_last_time() -> None:
    tally = ClassTally(3, tiny.CPU, numbers=2)
    tally.add(LABELS[:4], VALUES[:4])
    tally.add(LABELS[4:], VALUES[4:])
    assert tally.finish().tolist() == [[6.0, 4.0], [0.0, 0.0], [17 / 3, 23 / 3]]
    tally.add(torch.tensor([1]), torch.tensor([[5.0, 6.0]]))
    assert tally.finish().tolist() == [[6.0, 4.0], [5.0, 6.0], [17 / 3, 23 / 3]]  # without images: as before


def test_of_yes_and_no_is_a_share_and_goes_on_from_its_state() -> None:
    tally, other = ClassTally(2, tiny.CPU), ClassTally(2, tiny.CPU)
    tally.add(torch.tensor([0, 0, 1]), torch.tensor([[True], [False], [True]]))
    other.load_state_dict(tally.state_dict())
    other.add(torch.tensor([0, 0]), torch.tensor([[False], [False]]))
    assert other.finish()[:, 0].tolist() == [0.25, 1.0]
