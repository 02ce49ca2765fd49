"""Robustness and fairness numbers of one attack, from its confusion matrix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def confusion_matrix(labels: NDArray[Any], predictions: NDArray[Any], num_classes: int) -> NDArray[np.int64]:
    """Counts [K, K] of (true class, predicted class) from two integer vectors [N].

    Raises:
        ValueError: a label or prediction is not a class.
    """
    both = np.stack([labels, predictions]).astype(np.int64)
    if both.size and (both.min() < 0 or both.max() >= num_classes):
        raise ValueError(f"labels and predictions must lie in 0 … {num_classes - 1}, found {both.min()} … {both.max()}")
    flat = np.bincount(both[0] * num_classes + both[1], minlength=num_classes**2)
    return flat.reshape(num_classes, num_classes).astype(np.int64)


def metrics(correct: NDArray[Any], totals: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Every metric from the correctly classified images per class; leading dimensions are independent repetitions.

    Args:
        correct: [..., K] images of each class still classified correctly.
        totals: [K] images of each class; classes without images are left out of every class statistic.

    Returns:
        average, worst_class (minimum over classes), worst_10 (mean of the lowest ⌈0.1·K⌉ classes) as fractions, and nsd
        (population standard deviation over mean of the per-class accuracies; NaN where that mean is 0), each [...].
    """
    present = np.asarray(totals) > 0
    hits, sizes = np.asarray(correct, dtype=np.float64), np.asarray(totals, dtype=np.float64)[present]
    if not present.all():
        hits = hits[..., present]
    per_class = hits / sizes
    lowest = math.ceil(0.1 * len(sizes))
    mean, worst = per_class.mean(axis=-1), per_class.min(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        nsd = np.where(mean > 0, per_class.std(axis=-1) / mean, np.nan)
    return {
        "average": hits.sum(axis=-1) / sizes.sum(),
        "worst_class": worst,
        "worst_10": worst if lowest == 1 else np.sort(per_class, axis=-1)[..., :lowest].mean(axis=-1),
        "nsd": nsd,
    }


def per_class_accuracy(confusion: NDArray[Any]) -> list[float | None]:
    """Share of each true class classified correctly; None for a class without images."""
    totals = confusion.sum(axis=1)
    return [float(confusion[k, k] / n) if n else None for k, n in enumerate(totals)]


def target_distribution(confusion: NDArray[Any]) -> NDArray[np.float64]:
    """Where attacks drive images: of all misclassified images, the share taken for each class [K]; sums to 1.

    All zero where nothing is misclassified.

    Args:
        confusion: counts [K, K], true class by predicted class, under one attack.
    """
    wrong = confusion.sum(axis=0) - confusion.diagonal()
    return np.asarray(wrong / max(int(wrong.sum()), 1), dtype=np.float64)


def target_entropy(confusion: NDArray[Any]) -> float | None:
    """Entropy of `target_distribution` over log K: 1 if all classes are taken for the true one equally often, 0 if one always is.

    It measures what FERD's uniform targets are meant to even out (section 3.2). Dividing by log K lets numbers of classes be
    compared. Every image misclassified under the attack counts, also one that is wrong without it.

    Returns:
        A number in [0, 1]; None where nothing is misclassified.
    """
    shares = target_distribution(confusion)
    if not shares.any():
        return None
    some = shares[shares > 0]
    entropy = float(np.sum(some * np.log(1 / some)))
    return min(1.0, entropy / math.log(len(shares)))
