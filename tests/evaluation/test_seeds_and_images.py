"""Intervals over images and seeds hold the truth as often as they say: by simulation, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_ind

from dfrd_bench.evaluation.paired import PairedBootstrap
from dfrd_bench.evaluation.seeds_and_images import SeedsAndImages

CLASSES, EACH = 5, 60
LABELS = np.repeat(np.arange(CLASSES), EACH)


def a_row(rng: np.random.Generator, hardness: np.ndarray, seeds: int, spread: float, better: float = 0.0) -> np.ndarray:
    """[N, S]: right or wrong; a seed is better or worse on all images alike, and every seed errs on its own too."""
    skill = 0.6 + better + spread * rng.standard_normal(seeds)
    return hardness[:, None] + 0.5 * rng.random((len(LABELS), seeds)) < skill


def truth(spread: float, better: float) -> float:
    """The mean accuracy over all seeds and images of that kind, better minus usual, by drawing very many."""
    rng = np.random.default_rng(99)
    hardness, noise, z = rng.random(400_000), rng.random(400_000), rng.standard_normal(400_000)
    skill = 0.6 + spread * z
    return float(np.mean(hardness + 0.5 * noise < skill + better) - np.mean(hardness + 0.5 * noise < skill))


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("better", [0.0, 0.1])
def test_intervals_of_the_average_hold_the_truth_about_as_often_as_they_say(seeds: int, better: float) -> None:
    """Nominal 95 %; 300 trials tell it to ± 2.5. The images alone fall far short where seeds differ."""
    rng, trials, spread = np.random.default_rng(seeds), 300, 0.06
    held = alone = 0
    target = truth(spread, better)
    for trial in range(trials):
        hardness = rng.random(len(LABELS))
        rows = {"A": a_row(rng, hardness, seeds, spread, better), "B": a_row(rng, hardness, seeds, spread)}
        bootstrap = SeedsAndImages(rows, LABELS, seed=trial, resamples=100)
        for found, counts in (
            (bootstrap.between("A", "B", "average"), True),
            (bootstrap.difference("A", "B", "average"), False),
        ):
            assert found.interval is not None
            inside = found.interval[0] <= target <= found.interval[1]
            held, alone = held + (counts and inside), alone + (not counts and inside)
    assert 0.92 <= held / trials <= 0.995
    assert alone / trials < 0.80


def test_where_every_image_is_the_same_it_is_welchs_test_of_the_seeds() -> None:
    """Each seed is right on the first images of each class: no image differs from another of its kind by chance of its own."""
    numbers = {"A": (30, 34, 38), "B": (20, 29)}
    place = np.tile(np.arange(EACH), CLASSES)
    rows = {key: np.stack([place < n for n in counts], axis=1) for key, counts in numbers.items()}
    bootstrap = SeedsAndImages(rows, LABELS, resamples=50)
    bootstrap._draws = {metric: np.repeat(draws[:1], 50, axis=0) for metric, draws in bootstrap._draws.items()}
    found = bootstrap.between("A", "B", "average")
    by_scipy = ttest_ind(*([n / EACH for n in counts] for counts in numbers.values()), equal_var=False)
    assert found.value == pytest.approx(34 / EACH - 24.5 / EACH)
    assert found.p == pytest.approx(by_scipy.pvalue)
    assert found.degrees == pytest.approx(by_scipy.df)
    assert found.interval == pytest.approx(tuple(by_scipy.confidence_interval(0.95)))


def test_where_seeds_agree_it_is_about_the_paired_bootstrap() -> None:
    rng = np.random.default_rng(3)
    one, other = rng.random(len(LABELS)) < 0.7, rng.random(len(LABELS)) < 0.6
    rows = {"A": np.stack([one, one], axis=1), "B": np.stack([other, other], axis=1)}
    bootstrap = SeedsAndImages(rows, LABELS, resamples=4000)
    found, alone = bootstrap.between("A", "B", "average"), bootstrap.difference("A", "B", "average")
    assert found.degrees == math.inf
    assert found.interval == pytest.approx(alone.interval, abs=0.01)
    assert found.p == pytest.approx(alone.p, abs=0.01)


def test_a_single_seed_is_tested_over_the_images_alone_and_says_so() -> None:
    rng = np.random.default_rng(4)
    rows = {"A": rng.random((len(LABELS), 1)) < 0.7, "B": rng.random((len(LABELS), 3)) < 0.6}
    found = SeedsAndImages(rows, LABELS).between("A", "B", "average")
    by_images = PairedBootstrap(rows, LABELS, resamples=2000).difference("A", "B", "average")
    assert not found.over_seeds
    assert (found.value, found.interval, found.p) == (by_images.value, by_images.interval, by_images.p)


def test_the_same_row_twice_does_not_differ_and_swapping_changes_the_sign() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.random((len(LABELS), 2)) < 0.7, rng.random((len(LABELS), 2)) < 0.5
    bootstrap = SeedsAndImages({"A": a, "B": b, "C": a}, LABELS, resamples=200)
    assert bootstrap.between("A", "C", "average").direction == 0
    forth, back = bootstrap.between("A", "B", "nsd"), bootstrap.between("B", "A", "nsd")
    assert forth.value == pytest.approx(-back.value)  # type: ignore[operator]
    assert forth.p == pytest.approx(back.p)


def test_a_metric_that_is_undefined_for_a_seed_is_not_tested() -> None:
    rows = {"A": np.zeros((len(LABELS), 2), dtype=bool), "B": np.ones((len(LABELS), 2), dtype=bool)}
    found = SeedsAndImages(rows, LABELS, resamples=50).between("A", "B", "nsd")
    assert (found.value, found.p) == (None, None)


def test_rows_of_one_seed_that_are_far_apart_outlast_the_correction_of_many_comparisons() -> None:
    """The bootstrap alone says 2/(R + 1) and no less; the sign test of paired images says how little is right."""
    rng = np.random.default_rng(5)
    right, wrong = rng.random(len(LABELS)) < 0.9, rng.random(len(LABELS)) < 0.1
    near = right.copy()
    near[np.flatnonzero(right)[:9]], near[np.flatnonzero(~right)[:6]] = (
        False,
        True,
    )  # 15 images of 300, nearly half each way
    rows = {"A": right[:, None], "B": wrong[:, None], "C": near[:, None]}
    found = SeedsAndImages(rows, LABELS, resamples=200)
    far, close = found.between("A", "B", "average"), found.between("A", "C", "average")
    assert far.p is not None
    assert far.p * 1_000_000 < 0.05
    assert binomtest(int((right & ~wrong).sum()), int((right ^ wrong).sum())).pvalue * 1_000_000 < 0.05
    assert close.p == found.difference("A", "C", "average").p  # above what the resamples can tell
    assert close.p > 2 / 201


@pytest.mark.parametrize("bootstrap", [PairedBootstrap, SeedsAndImages])
@pytest.mark.parametrize("seeds", [1, 2])
def test_rows_that_differ_by_rounding_only_are_the_same(bootstrap: type[PairedBootstrap[str]], seeds: int) -> None:
    """Each is right on images of one class alone, more or fewer, so that each has an NSD of 3, √9, but for rounding."""
    labels = np.repeat(np.arange(10), [87, 92, 91, 90, 88, 91, 91, 88, 90, 92])
    rows = {
        str(count): np.repeat((np.arange(900) < count)[:, None], seeds, axis=1) for count in (40, 50, 60, 70, 80, 87)
    }
    found = bootstrap(rows, labels, resamples=200)
    assert len({found.value(key, "nsd") for key in rows}) > 1, "else there is nothing that rounding could do here"
    between = found.between if isinstance(found, SeedsAndImages) else found.difference
    for other in list(rows)[1:]:
        difference = between("40", other, "nsd")
        assert (difference.value, difference.p) == (0, 1)
