"""The paired bootstrap against resampling image by image, and how often it cries wolf."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import recall_score

from dfrd_bench.evaluation import paired
from dfrd_bench.evaluation.metrics import metrics
from dfrd_bench.evaluation.paired import PairedBootstrap
from dfrd_bench.evaluation.significance import holm, mcnemar
from dfrd_bench.evaluation.statistics import bootstrap_intervals

METRICS = ("average", "worst_class", "worst_10", "nsd")
LABELS = np.repeat(np.arange(12), [15, 30, 45] * 4)


def related_rows(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Two rows of 2 and 3 seeds that find the same images hard: [N, 2] and [N, 3] right or wrong."""
    ease = np.linspace(0.5, 0.9, 12)[LABELS] + rng.normal(0, 0.2, len(LABELS))
    return {
        "a": ease[:, None] + rng.normal(0, 0.1, (len(LABELS), 2)) > 0.5,
        "b": ease[:, None] + rng.normal(0, 0.1, (len(LABELS), 3)) > 0.49,
    }


def of_one_network(right: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Every metric as its definition has it."""
    shares = np.array([right[labels == k].mean() for k in np.unique(labels)])
    return {
        "average": float(right.mean()),
        "worst_class": float(shares.min()),
        "worst_10": float(np.sort(shares)[:2].mean()),  # of 12 classes: the lowest 2
        "nsd": float(shares.std() / shares.mean()),
    }


def brute_force(rows: dict[str, np.ndarray], resamples: int) -> dict[str, dict[str, list[float]]]:
    """row -> metric -> values: all seeds of all rows measured on images drawn again, class by class."""
    rng = np.random.default_rng(99)
    members = [np.flatnonzero(k == LABELS) for k in range(12)]
    found: dict[str, dict[str, list[float]]] = {key: {metric: [] for metric in METRICS} for key in rows}
    for _ in range(resamples):
        drawn = np.concatenate([rng.choice(part, len(part)) for part in members])
        for key, right in rows.items():
            seeds = [of_one_network(right[drawn, seed], LABELS[drawn]) for seed in range(right.shape[1])]
            for metric in METRICS:
                found[key][metric].append(float(np.mean([seed[metric] for seed in seeds])))
    return found


@pytest.fixture(scope="module")
def theirs() -> dict[str, dict[str, list[float]]]:
    return brute_force(related_rows(np.random.default_rng(5)), 1500)


@pytest.mark.parametrize("few_patterns", [0, 10**9], ids=["drawing patterns", "drawing images"])
def test_intervals_and_p_values_are_those_of_resampled_images(
    few_patterns: int, theirs: dict[str, dict[str, list[float]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paired, "FEW_PATTERNS", few_patterns)
    ours = PairedBootstrap(related_rows(np.random.default_rng(5)), LABELS, resamples=3000)
    for metric in METRICS:
        a, b = (np.array(theirs[key][metric]) for key in "ab")
        difference = ours.difference("a", "b", metric)
        for interval, values in ((ours.interval("a", metric), a), (difference.interval, a - b)):
            low, high = np.quantile(values, [0.025, 0.975])
            assert interval == pytest.approx((low, high), abs=0.12 * (high - low)), metric
        above, below = (a > b - 1e-9).mean(), (a < b + 1e-9).mean()
        assert difference.p == pytest.approx(min(1, 2 * min(above, below)), abs=0.08), metric
        assert 0.01 < above < 0.99  # else every p-value would be the same


def test_values_are_means_over_seeds_of_each_seeds_metric() -> None:
    rows = related_rows(np.random.default_rng(6))
    ours = PairedBootstrap(rows, LABELS, resamples=10)
    for metric in METRICS:
        means = {key: np.mean([of_one_network(s, LABELS)[metric] for s in right.T]) for key, right in rows.items()}
        assert ours.value("a", metric) == pytest.approx(means["a"])
        assert ours.difference("b", "a", metric).value == pytest.approx(means["b"] - means["a"])


def test_one_network_alone_has_the_interval_that_its_record_has() -> None:
    right = related_rows(np.random.default_rng(7))["a"][:, :1]
    totals = np.bincount(LABELS)
    correct = np.rint(recall_score(LABELS, np.where(right[:, 0], LABELS, -1), average=None, labels=range(12)) * totals)
    record = bootstrap_intervals(correct.astype(int), totals, resamples=20_000)
    ours = PairedBootstrap({"a": right}, LABELS, resamples=20_000)
    for metric in METRICS:
        assert ours.interval("a", metric) == pytest.approx(record[metric], abs=0.006), metric


def test_rows_that_are_right_on_the_same_images_do_not_differ() -> None:
    right = related_rows(np.random.default_rng(8))["a"]
    bootstrap = PairedBootstrap({"a": right, "b": right.copy()}, LABELS)
    for metric in METRICS:
        difference = bootstrap.difference("a", "b", metric)
        assert (difference.value, difference.interval, difference.p) == (0, (0, 0), 1)


def test_exchanging_the_rows_turns_the_difference_and_keeps_p() -> None:
    bootstrap = PairedBootstrap(related_rows(np.random.default_rng(9)), LABELS)
    forth, back = bootstrap.difference("a", "b", "nsd"), bootstrap.difference("b", "a", "nsd")
    assert forth.value is not None
    assert forth.interval is not None
    assert back.value == -forth.value
    assert back.interval == pytest.approx((-forth.interval[1], -forth.interval[0]))
    assert back.p == forth.p


def test_equal_networks_are_called_different_one_time_in_twenty() -> None:
    rng = np.random.default_rng(0)
    labels, alarms = np.repeat(np.arange(10), 60), 0
    for seed in range(400):
        hard = rng.random(600)
        rows = {key: (rng.random((600, 1)) + hard[:, None] > 0.8) for key in "ab"}
        p = PairedBootstrap(rows, labels, seed=seed, resamples=200).difference("a", "b", "average").p
        alarms += p is not None and p < 0.05
    assert 0.025 <= alarms / 400 <= 0.075


def test_pairing_sees_what_two_separate_intervals_do_not() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(10), 90)
    first = rng.random(900) < 0.7
    second = first.copy()
    second[rng.choice(np.flatnonzero(first), 20, replace=False)] = False  # 20 images worse, on none better
    bootstrap = PairedBootstrap({"a": first[:, None], "b": second[:, None]}, labels)
    a, b = bootstrap.interval("a", "average"), bootstrap.interval("b", "average")
    assert a is not None
    assert b is not None
    assert a[0] < b[1]
    p = bootstrap.difference("a", "b", "average").p
    assert p is not None
    worse = np.bincount(labels, weights=first & ~second)
    by_hand = 20 / np.sqrt(sum(k * (1 - k / 90) for k in worse))  # standard deviations, of a sample of each class
    assert norm.isf(p / 2) == pytest.approx(by_hand, rel=0.1)


def test_below_what_the_resamples_can_tell_p_outlasts_holm_over_a_thousand_comparisons_and_above_it_stays() -> None:
    """The sign test of the images on which two networks differ says the same of both."""
    labels, right = np.repeat(np.arange(10), 90), np.ones(900, dtype=bool)
    clear, slight = right.copy(), right.copy()
    clear[::9] = False  # 100 images
    slight[:60:6], slight[1] = False, False
    bootstrap = PairedBootstrap({"a": right[:, None], "b": clear[:, None], "c": slight[:, None]}, labels, resamples=400)
    p = bootstrap.difference("a", "b", "average").p
    assert p is not None
    assert holm([p, *[1.0] * 999])[0] < 1e-9
    assert mcnemar(right, clear) * 1000 < 1e-9
    between = bootstrap.difference("b", "c", "worst_class")
    assert between.p is not None
    assert between.p >= 2 / 401


def test_a_p_value_is_never_zero_however_far_two_networks_are_apart() -> None:
    labels = np.arange(20_000) % 10
    rows = {"a": (np.arange(20_000) < 19_900)[:, None], "b": (np.arange(20_000) < 100)[:, None]}
    p = PairedBootstrap(rows, labels, resamples=50).difference("a", "b", "average").p
    assert p is not None
    assert 0 < p < 1e-300


def test_where_resamples_and_observation_point_to_different_sides_p_stays_theirs() -> None:
    rows, labels = {"a": np.ones((20, 1), bool), "b": np.ones((20, 1), bool)}, np.arange(20) % 2
    bootstrap = PairedBootstrap(rows, labels, resamples=99)
    bootstrap._observed = {"average": np.array([0.9, 0.5])}
    bootstrap._draws = {"average": np.stack([np.full(99, 0.5), np.linspace(0.8, 0.9, 99)], axis=1)}
    assert bootstrap.difference("a", "b", "average").p == pytest.approx(2 / 100)


def test_where_nothing_is_right_nsd_and_its_difference_are_undefined() -> None:
    labels = np.repeat(np.arange(3), 5)
    bootstrap = PairedBootstrap({"a": np.zeros((15, 1), bool), "b": np.ones((15, 1), bool)}, labels)
    assert bootstrap.value("a", "nsd") is None
    assert bootstrap.interval("a", "nsd") is None
    difference = bootstrap.difference("a", "b", "nsd")
    assert (difference.value, difference.interval, difference.p) == (None, None, None)
    assert bootstrap.difference("a", "b", "average").value == -1


def test_labels_need_not_be_sorted_nor_every_class_present() -> None:
    rng = np.random.default_rng(2)
    labels = rng.choice([1, 4, 7], 60)
    right = rng.random((60, 1)) < 0.5
    ours = PairedBootstrap({"a": right}, labels, resamples=10)
    totals = np.bincount(labels, minlength=10)
    expected = metrics(np.bincount(labels[right[:, 0]], minlength=10), totals)
    assert {metric: ours.value("a", metric) for metric in METRICS} == pytest.approx(
        {k: float(v) for k, v in expected.items()}
    )


def test_a_seed_fixes_the_draws() -> None:
    rows = related_rows(np.random.default_rng(3))
    one, again, other = (PairedBootstrap(rows, LABELS, seed=seed).interval("a", "nsd") for seed in (1, 1, 2))
    assert one == again
    assert one != other


@pytest.mark.parametrize("at_once", [1, 700, 10**9])
def test_how_many_resamples_are_measured_at_once_changes_nothing(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = related_rows(np.random.default_rng(3))
    usual = PairedBootstrap(rows, LABELS, resamples=50)
    monkeypatch.setattr(paired, "AT_ONCE", at_once)
    other = PairedBootstrap(rows, LABELS, resamples=50)
    for metric in METRICS:
        assert other.interval("b", metric) == pytest.approx(usual.interval("b", metric), abs=1e-12)
        assert other.difference("a", "b", metric).p == usual.difference("a", "b", metric).p


@pytest.mark.parametrize("networks", [1, 7, 8, 9, 40])
def test_patterns_are_the_different_rows_in_numpys_order(networks: int) -> None:
    """The order decides what a seed draws."""
    members = np.random.default_rng(networks).random((60, networks)) < np.linspace(0.05, 0.95, networks)
    members = members[np.arange(60) // 2]
    expected = np.unique(members, axis=0, return_inverse=True, return_counts=True)
    for ours, theirs in zip(paired._patterns(members), expected, strict=True):
        assert np.array_equal(ours, theirs.reshape(ours.shape))


def test_no_direction_where_observation_and_resamples_disagree() -> None:
    """100 classes at 51 % against one at 50 % among 99 perfect ones: the observed worst class is 1 point higher, but the
    minimum of 100 noisy accuracies is far lower in nearly every resample.
    """
    labels = np.repeat(np.arange(100), 100)
    within = np.tile(np.arange(100), 100)
    one_bad, all_bad = (within < 50) | (labels > 0), within < 51
    bootstrap = PairedBootstrap({"a": one_bad[:, None], "b": all_bad[:, None]}, labels)
    worst = bootstrap.difference("a", "b", "worst_class")
    assert worst.value == pytest.approx(-0.01)
    assert worst.interval is not None
    assert worst.interval[0] > 0
    assert worst.p is not None
    assert worst.p < 0.05
    assert worst.direction == 0
    assert bootstrap.difference("a", "b", "average").direction == 1
    assert bootstrap.difference("b", "a", "average").direction == -1
    assert bootstrap.difference("a", "a", "average").direction == 0
