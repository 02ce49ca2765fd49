"""InfoNCE against its formula, the projection head, and the memory bank against a deque."""

from __future__ import annotations

import io
import math
from collections import deque

import pytest
import torch
from torch.nn import functional as F

from dfrd_bench.distillation.contrastive import MemoryBank, ProjectionHead, info_nce

CPU = torch.device("cpu")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("temperature", [0.1, 0.2, 1.0])
def test_info_nce_equals_its_formula(temperature: float) -> None:
    anchors = F.normalize(torch.randn(4, 5, generator=rng(0)), dim=1)
    candidates = F.normalize(torch.randn(7, 5, generator=rng(1)), dim=1)
    losses = info_nce(anchors, candidates, temperature)
    for i, anchor in enumerate(anchors.tolist()):
        scores = [
            math.exp(sum(a * c for a, c in zip(anchor, candidate, strict=True)) / temperature)
            for candidate in candidates.tolist()
        ]
        assert float(losses[i]) == pytest.approx(-math.log(scores[i] / sum(scores)), rel=1e-5)


def test_info_nce_of_indistinguishable_candidates_is_log_of_their_number() -> None:
    same = torch.ones(6, 1)
    assert torch.allclose(info_nce(same[:2], same, 0.2), torch.full((2,), math.log(6)))


def test_info_nce_is_float32_under_autocast() -> None:
    anchors = F.normalize(torch.randn(4, 64, generator=rng(0)), dim=1)
    plain = info_nce(anchors, anchors, 0.2)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(info_nce(anchors, anchors, 0.2), plain)


def test_contrastive_learning_separates_two_clusters() -> None:
    centres = torch.randn(2, 10, generator=rng(0))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = ProjectionHead(10, 4)
    optimiser = torch.optim.Adam(head.parameters(), lr=1e-2)
    for step in range(60):
        first, second = (centres + 0.3 * torch.randn(2, 2, 10, generator=rng(step))).unbind()
        loss = info_nce(head(first), head(second), 0.2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    fresh = (centres[:, None] + 0.3 * torch.randn(2, 50, 10, generator=rng(1000))).flatten(0, 1)
    with torch.no_grad():
        similarity = head(fresh) @ head(fresh).T
    assert similarity[:50, :50].mean() > 0.8
    assert similarity[:50, 50:].mean() < 0


def test_the_head_gives_unit_vectors_and_is_as_wide_as_its_input_unless_told() -> None:
    head = ProjectionHead(6, 3)
    assert [tuple(p.shape) for p in head.parameters()] == [(6, 6), (6,), (3, 6), (3,)]
    assert [tuple(p.shape) for p in ProjectionHead(6, 3, 9).parameters()] == [(9, 6), (9,), (3, 9), (3,)]
    assert torch.allclose(head(torch.randn(5, 6)).square().sum(1), torch.ones(5))


@pytest.mark.parametrize("sizes", [[3], [3, 3], [3, 3, 3, 3], [10], [4, 10, 2], [25]])
def test_the_bank_keeps_the_newest(sizes: list[int]) -> None:
    bank = MemoryBank(7, 2, CPU)
    expected: deque[tuple[float, ...]] = deque(maxlen=7)
    number = 0
    for size in sizes:
        vectors = torch.arange(number, number + size).float()[:, None].expand(size, 2)
        number += size
        bank.add(vectors)
        expected.extend(tuple(row) for row in vectors.tolist())
    drawn = bank.draw(100, rng())
    assert sorted(tuple(row) for row in drawn.tolist()) == sorted(expected)
    assert len(bank) == len(expected)


def test_draws_are_different_vectors_as_many_as_asked_for() -> None:
    bank = MemoryBank(50, 1, CPU)
    bank.add(torch.arange(30.0)[:, None])
    drawn = bank.draw(10, rng())
    assert drawn.shape == (10, 1)
    assert drawn.dtype == torch.float32
    assert len(set(drawn.flatten().tolist())) == 10
    assert bank.draw(0, rng()).shape == (0, 1)
    assert MemoryBank(5, 3, CPU).draw(4, rng()).shape == (0, 3)


def test_what_is_saved_is_what_is_filled_not_the_whole_bank() -> None:
    bank, buffer = MemoryBank(100_000, 2, CPU), io.BytesIO()
    bank.add(torch.ones(3, 2))
    torch.save(bank.state_dict(), buffer)
    assert len(buffer.getvalue()) < 10_000


def test_a_restored_bank_goes_on_where_the_other_was() -> None:
    first, second = MemoryBank(7, 2, CPU), MemoryBank(7, 2, CPU)
    first.add(torch.randn(10, 2, generator=rng(0)))
    second.load_state_dict(first.state_dict())
    for bank in (first, second):
        bank.add(torch.ones(3, 2))
    assert torch.equal(first.draw(7, rng(1)), second.draw(7, rng(1)))
