"""FRL's multipliers, weights and margins, worked out by hand."""

from __future__ import annotations

import math

import pytest
import tiny
import torch

from dfrd_bench.distillation.multipliers import ErrorMultipliers


def multipliers(**options: float) -> ErrorMultipliers:
    return ErrorMultipliers(4, tiny.CPU, **{"tolerance": 0.1, "rate": 1.0, **options})


ONE_HARD = torch.tensor([0.5, 0.3, 0.3, 0.3])  # the mean is 0.35: only the first is more than 0.1 above it


class TestWeights:
    def test_are_one_before_anything_is_known_and_where_the_rate_is_zero(self) -> None:
        assert multipliers().weights.tolist() == [1.0] * 4
        still = multipliers(rate=0.0)
        still.update(ONE_HARD, 0.35)
        assert still.weights.tolist() == [1.0] * 4
        assert still.of(torch.tensor([0, 3, 1])).tolist() == [1.0] * 3

    def test_follow_the_multipliers(self) -> None:
        """l = (0.05, 0, 0, 0), W = ¼ + ¾·0.05 for the first and ¼ − ¼·0.05 for the others, times four; then l doubles."""
        found = multipliers()
        found.update(ONE_HARD, 0.35)
        assert found.weights.tolist() == pytest.approx([1.15, 0.95, 0.95, 0.95])
        found.update(ONE_HARD, 0.35)
        assert found.weights.tolist() == pytest.approx([1.3, 0.9, 0.9, 0.9])

    def test_fall_again_where_the_constraint_holds(self) -> None:
        found = multipliers()
        found.update(ONE_HARD, 0.35)
        found.update(torch.tensor([0.42, 0.3, 0.3, 0.3]), 0.33)  # 0.01 within: l = 0.04
        assert found.weights[0] == pytest.approx(1 + 3 * 0.04)
        found.update(torch.zeros(4), 0.0)
        assert found.weights.tolist() == [1.0] * 4

    def test_share_a_budget_so_that_none_is_negative(self) -> None:
        """Violations 0.35 and 0.15 at rate 2 are (0.7, 0.3), scaled to a sum of ½: (0.35, 0.15)."""
        found = multipliers(rate=2.0)
        found.update(torch.tensor([0.9, 0.7, 0.1, 0.1]), 0.45)
        assert found.weights.tolist() == pytest.approx([1.9, 1.1, 0.5, 0.5])
        huge = multipliers(rate=1e6)
        huge.update(ONE_HARD, 0.35)
        assert huge.weights.tolist() == pytest.approx([2.5, 0.5, 0.5, 0.5])

    def test_have_a_mean_of_one_over_classes_and_over_every_batch(self) -> None:
        found = multipliers()
        found.update(torch.tensor([0.9, 0.7, 0.2, 0.1]), 0.475)
        assert found.weights.mean() == pytest.approx(1)
        batch = found.of(torch.tensor([0, 0, 1, 3]))
        assert batch.mean() == pytest.approx(1)
        assert batch[0] / batch[3] == pytest.approx(float(found.weights[0] / found.weights[3]), rel=1e-6)


class TestMargins:
    def test_grow_with_a_classs_violations_and_hardly_shrink(self) -> None:
        """m = 0.2·0.05 gives e^0.02; 0.2·(−0.15) would give e^−0.06 and is cut to 0.98."""
        found = multipliers(margin_rate=0.2)
        found.update(ONE_HARD, 0.35)
        assert found.radii.tolist() == pytest.approx([math.exp(0.02), 0.98, 0.98, 0.98])
        for _ in range(100):
            found.update(ONE_HARD, 0.35)
        assert found.radii.tolist() == pytest.approx([3.0, 0.98, 0.98, 0.98])

    def test_stay_where_their_rate_is_zero(self) -> None:
        found = multipliers()
        found.update(ONE_HARD, 0.35)
        assert found.radii.tolist() == [1.0] * 4


def test_are_restored() -> None:
    found, other = multipliers(margin_rate=0.2), multipliers(margin_rate=0.2)
    found.update(ONE_HARD, 0.35)
    other.load_state_dict(found.state_dict())
    assert (
        other.end_epoch()
        == found.end_epoch()
        == {"w/0": pytest.approx(1.15)} | {f"w/{k}": pytest.approx(0.95) for k in (1, 2, 3)}
    )
    assert torch.equal(other.radii, found.radii)
