"""Bootstrap intervals against resampling image by image, and how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest

from dfrd_bench.evaluation.statistics import bootstrap_intervals


def brute_force(hits: list[np.ndarray], resamples: int) -> dict[str, tuple[float, float]]:
    """The stratified percentile bootstrap as a textbook has it: images drawn again, class by class."""
    rng = np.random.default_rng(99)
    found: dict[str, list[float]] = {"average": [], "worst_class": [], "worst_10": [], "nsd": []}
    for _ in range(resamples):
        drawn = [images[rng.integers(0, len(images), len(images))] for images in hits]
        shares = [float(images.mean()) for images in drawn]
        found["average"].append(float(np.concatenate(drawn).mean()))
        found["worst_class"].append(min(shares))
        found["worst_10"].append(sum(sorted(shares)[:2]) / 2)  # of 12 classes: the lowest 2
        found["nsd"].append(float(np.std(shares) / np.mean(shares)))
    return {name: (np.quantile(v, 0.025), np.quantile(v, 0.975)) for name, v in found.items()}


def test_intervals_are_those_of_resampled_images() -> None:
    rng = np.random.default_rng(5)
    sizes = [20, 35, 50, 80] * 3
    hits = [rng.random(n) < share for n, share in zip(sizes, np.linspace(0.3, 0.95, 12), strict=True)]
    ours = bootstrap_intervals(np.array([h.sum() for h in hits]), np.array(sizes), resamples=4000)
    theirs = brute_force(hits, 4000)
    assert ours.keys() == theirs.keys()
    for name, (low, high) in theirs.items():
        interval = ours[name]
        assert interval is not None
        width = high - low
        assert interval[0] == pytest.approx(low, abs=0.08 * width), name
        assert interval[1] == pytest.approx(high, abs=0.08 * width), name


def test_95_percent_intervals_of_the_average_hold_the_truth_95_percent_of_the_time() -> None:
    rng = np.random.default_rng(0)
    shares, sizes = np.linspace(0.4, 0.9, 10), np.full(10, 50)
    truth = float((shares * sizes).sum() / sizes.sum())
    inside = 0
    for seed in range(500):
        interval = bootstrap_intervals(rng.binomial(sizes, shares), sizes, seed=seed, resamples=400)["average"]
        assert interval is not None
        inside += interval[0] <= truth <= interval[1]
    assert 0.92 <= inside / 500 <= 0.98


def test_a_class_without_images_changes_nothing() -> None:
    with_empty = bootstrap_intervals(np.array([3, 0, 7]), np.array([10, 0, 10]))
    assert with_empty == bootstrap_intervals(np.array([3, 7]), np.array([10, 10]))


def test_nothing_correct_leaves_nsd_undefined_and_the_rest_at_zero() -> None:
    found = bootstrap_intervals(np.array([0, 0]), np.array([5, 5]))
    assert found == {"average": (0, 0), "worst_class": (0, 0), "worst_10": (0, 0), "nsd": None}


def test_a_seed_fixes_the_intervals() -> None:
    correct, totals = np.array([30, 60]), np.array([100, 100])
    one, again, other = (bootstrap_intervals(correct, totals, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one != other
