"""Several rows measured on the same test images: bootstrap intervals and differences of their metrics."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from dfrd_bench.evaluation.metrics import metrics
from dfrd_bench.evaluation.significance import LEVEL, bootstrap_p
from dfrd_bench.evaluation.statistics import RESAMPLES, percentile_interval

Key = TypeVar("Key", bound=Hashable)
FEW_PATTERNS = 12  # images per pattern from which drawing patterns is faster than drawing images


@dataclass(frozen=True)
class Difference:
    """First minus second.

    Attributes:
        value: the observed difference of the seed means; None where the metric is undefined for one of the two.
        interval: its 95% percentile bootstrap interval; None where most resamples leave the metric undefined.
        p: two-sided, see `bootstrap_p`; None where the interval is.
    """

    value: float | None
    interval: tuple[float, float] | None
    p: float | None

    @property
    def direction(self) -> int:
        """1 where the first is larger, -1 where the second is, 0 where the test images cannot tell.

        They cannot where p says so, and where the observed difference and the resamples point to different sides: the
        minimum over classes is lower in most resamples than it was observed, and the more so the more classes are near it.
        """
        if self.value is None or self.interval is None or self.p is None or self.p >= LEVEL:
            return 0
        low, high = self.interval
        return int(self.value > 0 and low > 0) - int(self.value < 0 and high < 0)


class PairedBootstrap(Generic[Key]):
    """The metrics of several rows, each the mean over its seeds, on the same resampled test images.

    Each resample draws the images of every class again, as many as there are, with replacement; all seeds of all rows are
    then measured on that same draw. A row's value is the mean of its seeds' metrics (not the metric of their mean), as in
    the tables. What varies is the choice of test images; the trained networks are held fixed, so the spread between seeds
    is not part of it.

    Images of a class on which all networks agree image by image (right here, wrong there) are interchangeable, so what is
    drawn is how often each such pattern occurs: Multinomial(n_c, shares of the patterns). That is the bootstrap over images
    itself and not an approximation of it. Two networks have four patterns: both right, one, the other, neither. Where nearly
    every image has a pattern of its own, as with many networks, the images are drawn one by one, which is faster there.
    """

    def __init__(
        self,
        rows: Mapping[Key, NDArray[np.bool_]],
        labels: NDArray[Any],
        *,
        seed: int = 0,
        resamples: int = RESAMPLES,
    ) -> None:
        """Draw the resamples.

        Args:
            rows: per row [N, S]: whether each of its S seeds classifies each image correctly.
            labels: [N] true classes.
            seed: seed of the resampling.
            resamples: number of bootstrap samples R.
        """
        self._place = {key: place for place, key in enumerate(rows)}
        correct = np.concatenate(list(rows.values()), axis=1)  # [N, all seeds]
        starts = np.cumsum([0, *(row.shape[1] for row in rows.values())])
        present, totals = np.unique(labels, return_counts=True)
        observed = np.stack([correct[labels == label].sum(axis=0) for label in present], axis=-1)
        draws = _resampled(correct, labels, np.random.default_rng(seed), resamples)

        def by_row(counts: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
            """[..., all seeds, K] counts to metric -> [..., rows] means over seeds."""
            means = {}
            for metric, values in metrics(counts, totals).items():
                parts = [values[..., low:high] for low, high in pairwise(starts)]
                means[metric] = np.stack([part.mean(axis=-1) for part in parts], axis=-1)
            return means

        self._observed = by_row(observed)
        self._draws = by_row(draws)

    def __contains__(self, key: Key) -> bool:
        return key in self._place

    def value(self, key: Key, metric: str) -> float | None:
        """A row's metric on the test images as they are, mean over seeds; None where undefined."""
        return _defined(self._observed[metric][self._place[key]])

    def interval(self, key: Key, metric: str) -> tuple[float, float] | None:
        """The 95% percentile interval of that value; None where most resamples leave the metric undefined."""
        return percentile_interval(self._draws[metric][:, self._place[key]])

    def difference(self, first: Key, second: Key, metric: str) -> Difference:
        """First minus second, on the same images in every resample."""
        a, b = self._place[first], self._place[second]
        observed, draws = self._observed[metric], self._draws[metric]
        differences = draws[:, a] - draws[:, b]
        interval = percentile_interval(differences)
        p = None if interval is None else bootstrap_p(differences[~np.isnan(differences)])
        return Difference(_defined(observed[a] - observed[b]), interval, p)


def _resampled(
    correct: NDArray[np.bool_], labels: NDArray[Any], rng: np.random.Generator, resamples: int
) -> NDArray[np.int64]:
    """Correct images [R, M, K] per resample, network and class, from [N, M] and true classes [N]."""
    counts = []
    for label in np.unique(labels):
        members = correct[labels == label]
        patterns, kind, often = np.unique(members, axis=0, return_inverse=True, return_counts=True)  # [P, M], [n], [P]
        drawn = _pattern_counts(kind.ravel(), often, rng, resamples)
        counts.append(drawn.astype(np.float64) @ patterns)  # in floating point, where NumPy has a fast product
    return np.stack(counts, axis=-1).astype(np.int64)


def _pattern_counts(
    kind: NDArray[np.int64], often: NDArray[np.int64], rng: np.random.Generator, resamples: int
) -> NDArray[np.int64]:
    """How often each of P patterns occurs [R, P] when n images are drawn with replacement; `kind` [n] is an image's pattern."""
    n, p = len(kind), len(often)
    if FEW_PATTERNS * p < n:
        return rng.multinomial(n, often / n, size=resamples)
    drawn = kind[rng.integers(0, n, size=(resamples, n))] + p * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * p).reshape(resamples, p)


def _defined(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
