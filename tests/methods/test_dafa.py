"""DAFA: weights from a small M by hand, when they are made, what they act on, and TRADES without them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from dfrd_bench.methods.with_data.dafa import distance_aware_weights
from learners import EPOCHS, equal, made, trained

from dfrd_bench.distillation.lessons import Batch
from dfrd_bench.registry import METHODS


class TestDAFA:
    M = torch.tensor([[0.5, 0.4, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]])

    @pytest.mark.parametrize("settings", [{"strength": 0.0}, {"warmup": 1.0}])
    def test_switched_off_is_trades_with_its_optimiser(self, settings: dict[str, Any]) -> None:
        dafa = trained(made("dafa", **settings))
        c = dafa.recipe
        same = {"nesterov": c.nesterov, "weight_decay": c.weight_decay, "decay_at": c.decay_at}
        assert equal(dafa, trained(made("trades", **same)))
        assert not equal(dafa, trained(made("dafa", warmup=1 / EPOCHS)))

    @pytest.mark.parametrize(("strength", "expected"), [(1.0, [1.36, 0.8, 0.84]), (1.5, [1.54, 0.7, 0.76])])
    def test_weights_by_hand(self, strength: float, expected: list[float]) -> None:
        """W₀ = 1 + 0.4·0.7 + 0.1·0.8, W₁ = 1 − 0.4·0.7 + 0.1·0.8, W₂ = 1 − 0.1·0.8 − 0.1·0.8 at λ = 1."""
        assert distance_aware_weights(self.M, strength).tolist() == pytest.approx(expected)

    def test_weights_are_only_moved_between_classes_and_never_negative(self) -> None:
        predictions = torch.rand(8, 8, generator=torch.Generator().manual_seed(0)).double().softmax(dim=1)
        assert distance_aware_weights(predictions, 1.0).sum() == pytest.approx(8)
        assert distance_aware_weights(predictions, 100.0).min() == 0

    def test_are_measured_once_at_the_end_of_the_warm_up(self) -> None:
        method: Any = made("dafa", warmup=2 / EPOCHS)
        eps = [[numbers[f"eps/{k}"] for k in range(4)] for numbers in map(method.train_epoch, range(EPOCHS))]
        assert eps[0] == eps[1] == [1.0] * 4
        assert len(set(eps[2])) > 1
        assert sum(eps[2]) == pytest.approx(4, abs=1e-5)
        assert torch.equal(method.margins.radii, method.margins.steps)

    def test_come_from_the_predictions_of_the_warm_ups_last_epoch(self) -> None:
        method: Any = made("dafa", warmup=1 / EPOCHS, batch_size=24)
        again: Any = made("dafa", batch_size=24)
        images, labels = next(iter(again.draw()))
        logits = again.lesson(again.student.train(), Batch(images, labels), again.rng).adversarial
        mean = torch.stack([logits[labels == k].softmax(dim=1).double().mean(dim=0) for k in range(4)])
        method.train_epoch(0)
        torch.testing.assert_close(method.margins.radii, distance_aware_weights(mean, 1.0).float())

    def test_weigh_the_natural_term_only(self) -> None:
        method, alike = made("dafa"), made("dafa")
        cast(Any, method).margins.radii = torch.tensor([2.0, 1.0, 0.0, 1.0])
        assert cast(Any, method).lesson.lesson.attack.margins is cast(Any, method).margins
        images, labels = next(iter(method.draw()))
        images = 0 * images + 0.5
        fixed = replace(cast(Any, method).lesson, lesson=cast(Any, alike).lesson.lesson)  # attack with equal margins
        batch = Batch(images, labels)
        plain = fixed.lesson(alike.student.eval(), batch, torch.Generator().manual_seed(0)).terms
        found = fixed(alike.student, batch, torch.Generator().manual_seed(0)).terms
        weights = torch.tensor([2.0, 1.0, 0.0, 1.0])[labels]
        torch.testing.assert_close(found["natural"], weights * plain["natural"])
        torch.testing.assert_close(found["robust"], plain["robust"])

    def test_a_hundred_classes_have_the_papers_strength(self) -> None:
        config = METHODS.get("dafa").Config
        assert (config().strength, config.for_classes(10), config.for_classes(100)) == (1.0, {}, {"strength": 1.5})
