"""Do two methods differ, on other test images and with other seeds? Both sources of chance in one interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfrd_bench.evaluation.metrics import metrics
from dfrd_bench.evaluation.paired import SMALLEST, Difference, Key, PairedBootstrap
from dfrd_bench.evaluation.statistics import CONFIDENCE

RESAMPLES = 2000


@dataclass(frozen=True)
class Between(Difference):
    """First minus second, the mean over seeds of each.

    Attributes:
        degrees: of freedom of Student's t, by Welch and Satterthwaite; None where a row has a single seed, whose interval and p
            are then those of `PairedBootstrap`, over the test images alone.
    """

    degrees: float | None = None

    @property
    def over_seeds(self) -> bool:
        """Whether other seeds are part of what was tested."""
        return self.degrees is not None


class SeedsAndImages(PairedBootstrap[Key]):
    """A hierarchical bootstrap: images drawn again, the same for all networks, and below them each row's seeds.

    The images' part of a difference's variance is that of the paired bootstrap, seeds held fixed. The seeds' part is that of the
    bootstrap over a row's S seeds, s²·(S − 1)/S², times S/(S − 1), since few draws from few seeds vary too little: s²/S for each
    row, known without drawing. The parts add up, as images and seeds are drawn apart, and the interval is Student's t with
    Welch's and Satterthwaite's degrees of freedom (Welch, Biometrika 1947), of which the images' part has as many as one likes.

    Assumed: seeds are drawn independently, those of different rows too; the images are a sample of their classes; the
    difference is about normal. The chance with which one seed errs on one image enters both parts, so intervals are rather
    too wide. With two seeds there is one degree of freedom for their spread: only large differences can be told.
    """

    def __init__(
        self,
        rows: Mapping[Key, NDArray[np.bool_]],
        labels: NDArray[Any],
        *,
        seed: int = 0,
        resamples: int = RESAMPLES,
    ) -> None:
        """Draw the images; see `PairedBootstrap`."""
        super().__init__(rows, labels, seed=seed, resamples=resamples)
        present, totals = np.unique(labels, return_counts=True)
        self._by_seed = {
            key: metrics(np.stack([row[labels == label].sum(axis=0) for label in present], axis=-1), totals)
            for key, row in rows.items()
        }

    def between(self, first: Key, second: Key, metric: str) -> Between:
        """First minus second, with what other images and other seeds would change about it."""
        alone = self.difference(first, second, metric)
        parts = [self._seeds_part(key, metric) for key in (first, second)]
        if alone.value is None or alone.interval is None or None in parts:
            return Between(alone.value, alone.interval, alone.p)
        seeds = [part for part in parts if part is not None]
        images = self.variance(first, second, metric)
        total = images + sum(variance for variance, _ in seeds)
        if total <= 0:  # two rows that are the same
            return Between(alone.value, (alone.value, alone.value), 1.0 if not alone.value else alone.p, math.inf)
        below = sum(variance**2 / count for variance, count in seeds)
        degrees = total**2 / below if below > 0 else math.inf
        error = math.sqrt(total)
        return Between(alone.value, *_student(alone.value, error, degrees), degrees)

    def _seeds_part(self, key: Key, metric: str) -> tuple[float, int] | None:
        """Variance of the mean over a row's seeds, and its degrees of freedom; None for a single seed."""
        values = self._by_seed[key][metric]
        if len(values) < 2 or np.isnan(values).any():
            return None
        return float(values.var(ddof=1)) / len(values), len(values) - 1


def _student(value: float, error: float, degrees: float) -> tuple[tuple[float, float], float]:
    """The 95% interval around a value, and the two-sided p-value of its being 0."""
    from scipy.stats import norm, t

    law = norm() if math.isinf(degrees) else t(degrees)
    reach = float(law.ppf((1 + CONFIDENCE) / 2)) * error
    return (value - reach, value + reach), max(SMALLEST, float(2 * law.sf(abs(value) / error)))
