"""The synthetic pool: what it keeps, in which order it forgets, and how it draws."""

from __future__ import annotations

import io

import pytest
import tiny
import torch
from scipy.stats import chisquare
from torch import Tensor

from dfrd_bench.distillation.pool import SyntheticPool

SHAPE = (1, 2, 2)


def numbered(*numbers: int) -> tuple[Tensor, Tensor]:
    """Images of one grey value each, labelled with it."""
    labels = torch.tensor(numbers)
    return (labels / 255).reshape(-1, 1, 1, 1).expand(-1, *SHAPE), labels


def contents(pool: SyntheticPool) -> set[int]:
    _, labels = pool.draw(500, torch.Generator().manual_seed(0))
    return set(labels.tolist())


def test_images_come_back_within_half_a_grey_value_with_their_labels() -> None:
    images = tiny.random_images(50, (3, 5, 4))
    images[0], images[1] = 0.0, 1.0
    labels = torch.arange(50)
    pool = SyntheticPool(80, (3, 5, 4), tiny.CPU)
    pool.add(images, labels)
    drawn, theirs = pool.draw(200, torch.Generator().manual_seed(0))
    assert (drawn - images[theirs]).abs().max() <= 1 / 510 + 1e-6
    assert drawn.dtype == torch.float32
    assert drawn.min() == 0
    assert drawn.max() == 1


def test_the_oldest_are_overwritten_when_it_is_full() -> None:
    pool = SyntheticPool(5, SHAPE, tiny.CPU)
    for batch in ((1, 2, 3), (4, 5, 6), (7, 8)):
        pool.add(*numbered(*batch))
    assert len(pool) == 5
    assert contents(pool) == {4, 5, 6, 7, 8}
    images, labels = pool.draw(50, torch.Generator().manual_seed(1))
    assert torch.equal((images[:, 0, 0, 0] * 255).round().long(), labels)


def test_only_what_was_added_is_drawn_from_a_pool_that_is_not_full() -> None:
    pool = SyntheticPool(100, SHAPE, tiny.CPU)
    pool.add(*numbered(1, 2, 3))
    assert len(pool) == 3
    assert contents(pool) == {1, 2, 3}


def of_twenty() -> SyntheticPool:
    pool = SyntheticPool(20, SHAPE, tiny.CPU)
    pool.add(*numbered(*range(20)))
    return pool


@pytest.mark.parametrize("batch", [1, 6, 7, 20, 33])
def test_draws_are_passes_without_replacement(batch: int) -> None:
    pool, rng = of_twenty(), torch.Generator().manual_seed(0)
    drawn = torch.cat([pool.draw(batch, rng)[1] for _ in range(20)])
    for whole in drawn[: len(drawn) // 20 * 20].split(20):
        assert sorted(whole.tolist()) == list(range(20))


def test_every_place_of_a_pass_is_uniform() -> None:
    pool, rng = of_twenty(), torch.Generator().manual_seed(0)
    firsts = torch.cat([pool.draw(20, rng)[1][:1] for _ in range(2000)])
    assert chisquare(torch.bincount(firsts, minlength=20).numpy()).pvalue > 0.001


def test_a_pass_begins_anew_when_images_are_added() -> None:
    pool, rng = SyntheticPool(40, SHAPE, tiny.CPU), torch.Generator().manual_seed(0)
    pool.add(*numbered(*range(20)))
    pool.draw(15, rng)
    pool.add(*numbered(*range(20, 40)))
    assert sorted(pool.draw(40, rng)[1].tolist()) == list(range(40))


def test_the_generator_decides_the_draw(unmoved_rng: None) -> None:
    one, again, other = (of_twenty().draw(10, torch.Generator().manual_seed(s))[1].tolist() for s in (0, 0, 1))
    assert one == again
    assert one != other


def test_a_pass_that_was_begun_goes_on_after_a_stop() -> None:
    whole, rng = of_twenty(), torch.Generator().manual_seed(0)
    whole.draw(7, rng)
    restored = SyntheticPool(20, SHAPE, tiny.CPU)
    restored.load_state_dict(whole.state_dict())
    assert restored.draw(13, torch.Generator().manual_seed(9))[1].tolist() == whole.draw(13, rng)[1].tolist()


def test_an_empty_pool_is_refused() -> None:
    with pytest.raises(ValueError, match="the pool is empty"):
        SyntheticPool(5, SHAPE, tiny.CPU).draw(1, torch.Generator())


@pytest.mark.parametrize(
    ("n", "expected"), [(1, [8]), (3, [8, 7, 6]), (5, [8, 7, 6, 5, 4]), (9, [8, 7, 6, 5, 4]), (0, [])]
)
def test_latest_are_the_newest_first_across_the_wrap(n: int, expected: list[int]) -> None:
    pool = SyntheticPool(5, SHAPE, tiny.CPU)
    for batch in ((1, 2, 3), (4, 5, 6), (7, 8)):
        pool.add(*numbered(*batch))
    assert (pool.latest(n)[:, 0, 0, 0] * 255).round().tolist() == expected


def test_what_is_saved_grows_with_what_is_filled() -> None:
    pool = SyntheticPool(10_000, SHAPE, tiny.CPU)
    pool.add(*numbered(1, 2, 3))
    file = io.BytesIO()
    torch.save(pool.state_dict(), file)
    assert len(file.getvalue()) < 5_000


@pytest.mark.parametrize("batches", [[(1, 2)], [(1, 2, 3), (4, 5, 6), (7, 8)]], ids=["part", "wrapped"])
def test_a_restored_pool_goes_on_like_the_one_saved(batches: list[tuple[int, ...]]) -> None:
    pools = [SyntheticPool(5, SHAPE, tiny.CPU) for _ in "ab"]
    for batch in batches:
        pools[0].add(*numbered(*batch))
    file = io.BytesIO()
    torch.save(pools[0].state_dict(), file)
    file.seek(0)
    pools[1].load_state_dict(torch.load(file, weights_only=True))
    for _ in range(2):
        (images, labels), (theirs, their_labels) = (p.draw(30, torch.Generator().manual_seed(4)) for p in pools)
        assert torch.equal(images, theirs)
        assert torch.equal(labels, their_labels)
        assert torch.equal(*(p.latest(5) for p in pools))
        for pool in pools:
            pool.add(*numbered(20, 21, 22))
