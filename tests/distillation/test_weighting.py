"""Class weights from how long classes hold out: Fair-ARD's equations, its released variants, and their timeline."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dfrd_bench.distillation.weighting import ClassDifficulty, Uniform, class_weights

KAPPA = torch.tensor([6.5, 8, 4.2, 2.8, 3.6, 4, 5.8, 6.6, 7.4, 7])
LABELS = torch.tensor([0, 0, 0, 1, 2, 2])
WITHSTOOD = torch.tensor([1.0, 2.0, 6.0, 10.0, 0.0, 4.0])


def fed(**options: object) -> ClassDifficulty:
    weighting = ClassDifficulty(3, torch.device("cpu"), **options)  # type: ignore[arg-type]
    weighting.observe(LABELS[:4], WITHSTOOD[:4])
    weighting.observe(LABELS[4:], WITHSTOOD[4:])
    return weighting


class TestWeights:
    @pytest.mark.parametrize("beta", [0.5, 1, 2, 5])
    def test_are_inverse_powers_with_a_mean_of_one(self, beta: float) -> None:
        found = class_weights(KAPPA, beta=beta).numpy()
        power = KAPPA.double().numpy() ** -beta
        np.testing.assert_allclose(found, power / power.mean(), rtol=1e-4)
        assert found.sum() == pytest.approx(10, abs=1e-6)

    def test_are_exactly_one_at_beta_zero(self) -> None:
        assert class_weights(torch.tensor([0.0, 3.0, 10.0]), beta=0).tolist() == [1.0, 1.0, 1.0]

    def test_are_cut_after_they_are_scaled_so_that_their_mean_grows(self) -> None:
        """Worked out by hand for β = 2; six of ten classes end at 5/6."""
        cut = class_weights(KAPPA, beta=2, clamp="released").tolist()
        assert [round(w, 2) for w in cut] == [0.83, 0.83, 1.25, 2.5, 1.7, 1.37, 0.83, 0.83, 0.83, 0.83]
        free = class_weights(KAPPA, beta=2).tolist()
        assert [round(w, 2) for w in free] == [0.52, 0.34, 1.25, 2.81, 1.7, 1.37, 0.65, 0.51, 0.4, 0.45]
        assert np.mean(cut) == pytest.approx(1.18, abs=0.005)

    def test_a_class_that_withstands_nothing_takes_all_but_stays_finite(self) -> None:
        found = class_weights(torch.tensor([0.0, 5.0, 5.0]), beta=2)
        assert found[0] == pytest.approx(3)
        assert found.isfinite().all()
        assert class_weights(torch.tensor([0.0, 5.0, 5.0]), beta=2, clamp="released").tolist() == pytest.approx(
            [5 / 2, 5 / 6, 5 / 6]
        )


class TestDifficulty:
    def test_is_the_mean_over_a_classs_own_images(self) -> None:
        numbers = fed(beta=1.0).end_epoch()
        assert [numbers[f"kappa/{k}"] for k in range(3)] == [3, 10, 2]
        inverse = np.array([1 / 3, 1 / 10, 1 / 2])
        assert [numbers[f"w/{k}"] for k in range(3)] == pytest.approx(inverse / inverse.mean(), rel=1e-4)

    def test_as_released_takes_all_classes_to_be_of_one_size(self) -> None:
        numbers = fed(sizes="equal").end_epoch()
        assert [numbers[f"kappa/{k}"] for k in range(3)] == [9 / 2, 10 / 2, 4 / 2]

    def test_as_released_gives_svhn_weights_by_size_where_all_classes_are_equally_hard(self) -> None:
        """Training images of its digits; every κ is 5. The smallest class gets nine times the largest's weight."""
        sizes = [4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659]
        labels = torch.arange(10).repeat_interleave(torch.tensor(sizes))
        for how, spread in (("own", 1.0), ("equal", (13861 / 4659) ** 2)):
            weighting = ClassDifficulty(10, torch.device("cpu"), sizes=how)  # type: ignore[arg-type]
            weighting.observe(labels, torch.full((len(labels),), 5.0))
            weighting.end_epoch()
            assert float(weighting.weights.max() / weighting.weights.min()) == pytest.approx(spread, rel=1e-4)

    def test_counts_from_the_epoch_before_only(self) -> None:
        weighting = fed()
        assert weighting.of(LABELS).tolist() == [1.0] * 6  # the first epoch
        weighting.end_epoch()
        second = weighting.weights.clone()
        assert not torch.equal(second, torch.ones(3))
        weighting.observe(LABELS, torch.full((6,), 4.0))
        assert torch.equal(weighting.of(torch.arange(3)), second)
        weighting.end_epoch()
        assert weighting.weights.tolist() == [1.0, 1.0, 1.0]

    def test_a_class_without_images_keeps_its_last(self) -> None:
        weighting = fed()
        weighting.end_epoch()
        weighting.observe(torch.tensor([0]), torch.tensor([8.0]))
        weighting.end_epoch()
        assert weighting.kappa.tolist() == [8, 10, 2]

    def test_is_saved_in_the_middle_of_an_epoch(self) -> None:
        whole, begun, other = fed(), ClassDifficulty(3, torch.device("cpu")), ClassDifficulty(3, torch.device("cpu"))
        begun.observe(LABELS[:4], WITHSTOOD[:4])
        other.load_state_dict(begun.state_dict())
        other.observe(LABELS[4:], WITHSTOOD[4:])
        assert other.end_epoch() == whole.end_epoch()


def test_uniform_is_one_for_every_image_and_learns_nothing() -> None:
    weighting = Uniform()
    weighting.observe(LABELS, WITHSTOOD)
    assert weighting.of(LABELS).tolist() == [1.0] * 6
    assert weighting.end_epoch() == {}
