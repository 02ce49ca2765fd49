"""Several rows measured on the same test images: bootstrap intervals and differences of their metrics."""

from __future__ import annotations

import math
import sys
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from dfrd_bench.evaluation.metrics import metrics
from dfrd_bench.evaluation.significance import LEVEL, ROUNDING, bootstrap_p
from dfrd_bench.evaluation.statistics import RESAMPLES, percentile_interval

Key = TypeVar("Key", bound=Hashable)
FEW_PATTERNS = 12  # images per pattern from which drawing patterns is faster than drawing images
SMALLEST = sys.float_info.min  # a p-value is never 0, which a normal law's is 38 standard deviations out
AT_ONCE = 2**16  # counts that are measured at once, so few that a processor's cache holds them


@dataclass(frozen=True)
class Difference:
    """First minus second.

    Attributes:
        value: the observed difference of the seed means; None where the metric is undefined for one of the two.
        interval: its 95% percentile bootstrap interval; None where most resamples leave the metric undefined.
        p: two-sided, see `bootstrap_p`; below what so many resamples can tell, of the normal law. None where the interval is.
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
        widths = np.array([row.shape[1] for row in rows.values()])
        starts = np.cumsum([0, *widths[:-1]])
        present, totals = np.unique(labels, return_counts=True)
        observed = np.stack([correct[labels == label].sum(axis=0) for label in present], axis=-1)

        def by_row(counts: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
            """[..., all seeds, K] counts to metric -> [..., rows] means over seeds."""
            found = metrics(counts, totals)
            return {metric: np.add.reduceat(values, starts, axis=-1) / widths for metric, values in found.items()}

        draws = [by_row(part) for part in _resampled(correct, labels, np.random.default_rng(seed), resamples)]
        self._observed = by_row(observed)
        self._draws = {metric: np.concatenate([part[metric] for part in draws]) for metric in self._observed}

    def __contains__(self, key: Key) -> bool:
        return key in self._place

    def value(self, key: Key, metric: str) -> float | None:
        """A row's metric on the test images as they are, mean over seeds; None where undefined."""
        return _defined(self._observed[metric][self._place[key]])

    def interval(self, key: Key, metric: str) -> tuple[float, float] | None:
        """The 95% percentile interval of that value; None where most resamples leave the metric undefined."""
        return percentile_interval(self._draws[metric][:, self._place[key]])

    def variance(self, first: Key, second: Key, metric: str) -> float:
        """How much first minus second varies with the images; NaN where no two resamples have both."""
        differences = self._differences(self._draws, first, second, metric)
        defined = differences[~np.isnan(differences)]
        return float(defined.var(ddof=1)) if len(defined) > 1 else float("nan")

    def difference(self, first: Key, second: Key, metric: str) -> Difference:
        """First minus second, on the same images in every resample."""
        value = _defined(self._differences(self._observed, first, second, metric))
        differences = self._differences(self._draws, first, second, metric)
        interval, defined = percentile_interval(differences), differences[~np.isnan(differences)]
        return Difference(value, interval, None if interval is None else _finer(bootstrap_p(defined), value, defined))

    def _differences(self, found: Mapping[str, NDArray[np.float64]], first: Key, second: Key, metric: str) -> Any:
        """First minus second in each draw, [R], or as observed; what is nothing but rounding as 0.

        Two rows whose resamples all differ by rounding alone are the same row.
        """
        rows = found[metric]
        differences = rows[..., self._place[first]] - rows[..., self._place[second]]
        return np.where(np.abs(differences) <= ROUNDING, 0.0, differences)


def _resampled(
    correct: NDArray[np.bool_], labels: NDArray[Any], rng: np.random.Generator, resamples: int
) -> Iterator[NDArray[np.float32]]:
    """Correct images [R, M, K] per resample, network and class, from [N, M] and true classes [N]; some resamples at a time.

    Whole numbers below 2^24, so exact in float32, for which there is the fastest product. The classes lie outermost in memory,
    where what is summed over them is summed for many networks at once.
    """
    classes = []
    for label in np.unique(labels):
        patterns, kind, often = _patterns(correct[labels == label])  # [P, M], [n], [P]
        drawn = _pattern_counts(kind, often, rng, resamples)
        classes.append((drawn.astype(np.float32), patterns.astype(np.float32)))
    step = max(1, AT_ONCE // (len(classes) * correct.shape[1]))
    for first in range(0, resamples, step):
        counts = np.stack([drawn[first : first + step] @ patterns for drawn, patterns in classes])
        yield np.moveaxis(counts, 0, -1)


def _patterns(members: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """The different rows [P, M] of [n, M], sorted; which of them each row is [n]; and how often each occurs [P]."""
    packed = np.packbits(members, axis=1)
    keys = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()  # compared as bytes, so quicker than as rows
    _, first, kind, often = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    return members[first], kind.ravel(), often


def _pattern_counts(
    kind: NDArray[np.int64], often: NDArray[np.int64], rng: np.random.Generator, resamples: int
) -> NDArray[np.int64]:
    """How often each of P patterns occurs [R, P] when n images are drawn with replacement; `kind` [n] is an image's pattern."""
    n, p = len(kind), len(often)
    if FEW_PATTERNS * p < n:
        return rng.multinomial(n, often / n, size=resamples)
    drawn = kind[rng.integers(0, n, size=(resamples, n))] + p * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * p).reshape(resamples, p)


def _finer(p: float, value: float | None, differences: NDArray[np.float64]) -> float:
    """A p-value from R differences; that of the normal law where none of them points to the other side, which is p = 2/(R + 1).

    On the resamples' scale alone no difference, however clear, outlasts Holm's correction of more than a few comparisons.
    """
    floor, deviation = 2 / (len(differences) + 1), float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    if value is None or p > floor * (1 + ROUNDING) or deviation <= ROUNDING or value * differences[0] <= 0:
        return p
    return min(p, max(SMALLEST, math.erfc(abs(value) / deviation / math.sqrt(2))))


def _defined(value: np.float64) -> float | None:
    return None if np.isnan(value) else float(value)
