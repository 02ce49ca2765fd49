"""Divergences against SciPy and explicit sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from dfrd_bench.methods.data_free.zskt import ZSKT
from scipy.special import softmax
from scipy.stats import entropy
from torch import Tensor

from dfrd_bench.distillation.losses import (
    FiniteLosses,
    backward,
    decoupled_kl,
    kl,
    kl_from_uniform_per_image,
    kl_per_image,
    rslad,
    total_loss,
)
from dfrd_bench.errors import DfrdBenchError

N, K = 6, 5


def logits(seed: int, scale: float = 3.0) -> Tensor:
    return scale * torch.randn(N, K, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


P, Q, R = logits(0), logits(1), logits(2)


def scipy_kl(p: Tensor, q: Tensor, temperature: float = 1.0) -> np.ndarray:
    return entropy(softmax(p.numpy() / temperature, axis=1), softmax(q.numpy() / temperature, axis=1), axis=1)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_kl_per_image_is_scipys_relative_entropy(temperature: float) -> None:
    np.testing.assert_allclose(kl_per_image(P, Q, temperature), scipy_kl(P, Q, temperature), rtol=1e-5)


def test_kl_averages_over_images_or_over_classes_too() -> None:
    expected = scipy_kl(P, Q).mean()
    assert kl(P, Q).item() == pytest.approx(expected, rel=1e-5)
    assert kl(P, Q, reduction="mean").item() == pytest.approx(expected / K, rel=1e-5)


def test_kl_keeps_its_gradients_size_at_a_temperature() -> None:
    assert kl(P, Q, temperature=4.0).item() == pytest.approx(16 * scipy_kl(P, Q, 4.0).mean(), rel=1e-5)


def test_kl_of_extreme_logits_stays_finite() -> None:
    p, q = torch.tensor([[1e4, 0.0]], requires_grad=True), torch.tensor([[0.0, 1e4]], requires_grad=True)
    value = kl(p, q)
    value.backward()
    assert value.item() == pytest.approx(1e4)
    assert p.grad is not None
    assert q.grad is not None
    assert torch.isfinite(torch.cat([p.grad, q.grad])).all()


def test_kl_from_uniform_is_scipys_relative_entropy_from_the_uniform_distribution() -> None:
    expected = [entropy(np.full(K, 1 / K), f) for f in softmax(P.numpy(), axis=1)]
    np.testing.assert_allclose(kl_from_uniform_per_image(P), expected, rtol=1e-5)
    assert kl_from_uniform_per_image(torch.full((2, K), 7.0)).abs().max() < 1e-6


def test_rslad_weighs_the_adversarial_prediction_by_five_sixths() -> None:
    expected = (5 * scipy_kl(P, R).mean() + scipy_kl(P, Q).mean()) / 6
    assert rslad(P, Q, R).item() == pytest.approx(expected, rel=1e-5)
    assert rslad(P, Q, R, reduction="mean").item() == pytest.approx(expected / K, rel=1e-5)


def test_rslad_takes_ferds_weights() -> None:
    expected = (scipy_kl(P, R).mean() + 5 * scipy_kl(P, Q).mean()) / 6
    assert rslad(P, Q, R, adversarial_weight=1 / 6).item() == pytest.approx(expected, rel=1e-5)


def test_decoupled_kl_is_the_double_sum_over_classes() -> None:
    weights = torch.rand(N, K, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    expected = 0.0
    for p, q, s in zip(P.tolist(), Q.tolist(), weights.tolist(), strict=True):
        squared = total = 0.0
        for i in range(K):
            for j in range(K):
                w = s[i] * s[j]
                squared += w * ((p[i] - p[j]) - (q[i] - q[j])) ** 2
                total += w
        soft = -sum(a * np.log(b) for a, b in zip(softmax(p), softmax(q), strict=True))
        expected += (squared / total / 4 + soft) / N
    assert decoupled_kl(P, Q, weights).item() == pytest.approx(expected, rel=1e-5)


def test_decoupled_kl_of_one_hot_weights_has_the_gradient_of_kl() -> None:
    one_hot = torch.eye(K)[torch.tensor([0, 1, 2, 3, 4, 0])]
    gradients = []
    for loss in (lambda q: decoupled_kl(P, q, one_hot), lambda q: kl(P, q)):
        q = Q.clone().requires_grad_()
        gradients.append(torch.autograd.grad(loss(q), q)[0])
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-7)


def test_decoupled_kl_sends_a_gradient_through_the_weights_and_none_through_the_target() -> None:
    """As released (losses.py:54-60): ∂/∂p of the squared part alone, with p in its weights, by finite differences."""
    p, q, h = P.double(), Q.double(), 1e-6

    def squared(z: Tensor) -> Tensor:
        s, gap = (z / 2).softmax(1), z - q
        w = s[:, :, None] * s[:, None, :]
        return (w * (gap[:, :, None] - gap[:, None, :]) ** 2).sum() / w.sum() / 4

    z = p.clone().requires_grad_()
    (found,) = torch.autograd.grad(decoupled_kl(z, q, (z / 2).softmax(1)), z)
    for row, column in ((0, 0), (1, 3), (4, 2)):
        step = torch.zeros_like(p)
        step[row, column] = h
        expected = float(squared(p + step) - squared(p - step)) / (2 * h)
        assert float(found[row, column]) == pytest.approx(expected, rel=1e-3, abs=1e-5)


class TestTotalLoss:
    def test_is_the_sum(self) -> None:
        assert total_loss({"a": torch.tensor(1.5), "b": torch.tensor(-4.0)}, "x").item() == -2.5

    @pytest.mark.parametrize(
        ("terms", "said"),
        [
            (torch.tensor(1.0), "not a Tensor"),
            ({}, "not an empty one"),
            ({"a": torch.tensor(1.0), "oh": 1.0}, "not 'oh': 1.0"),
            ({"oh": torch.ones(8)}, r"not 'oh': Tensor \[8\]"),
        ],
    )
    @pytest.mark.parametrize("use", [lambda terms: total_loss(terms, "x"), backward])
    def test_what_are_no_named_scalars_is_said(self, terms: Any, said: str, use: Callable[[Any], Any]) -> None:
        with pytest.raises(DfrdBenchError, match=f"^Loss terms must be a dict of tensors .*{said}"):
            use(terms)

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
    def test_names_the_term_and_the_stage_that_broke(self, bad: float) -> None:
        terms = {"adv": torch.tensor(1.0), "bn": torch.tensor(bad), "oh": torch.tensor(2.0)}
        with pytest.raises(DfrdBenchError, match=r"^Loss term bn became .* in the synthesis stage") as caught:
            total_loss(terms, "synthesis")
        assert "\n" not in str(caught.value)

    def test_seen_later_it_is_the_first_step_that_broke_which_is_named(self) -> None:
        watch = FiniteLosses(steps=4)
        watch.total({"a": torch.tensor(1.0)}, "synthesis")
        watch.total({"a": torch.tensor(1.0), "bn": torch.tensor(float("nan"))}, "synthesis")
        watch.total({"student": torch.tensor(float("inf"))}, "distillation")
        with pytest.raises(DfrdBenchError, match=r"^Loss term bn became nan in the synthesis stage"):
            watch.total({"student": torch.tensor(0.0)}, "distillation")
        watch.check()  # said once

    def test_nothing_that_is_not_finite_gets_into_a_checkpoint(self) -> None:
        problem = tiny.problem()
        method = ZSKT(problem, ZSKT.Config(epochs=1))
        method.losses = FiniteLosses(steps=1000)
        method.losses.total({"student": torch.tensor(float("nan"))}, "distillation")
        with pytest.raises(DfrdBenchError, match="student became nan"):
            method.state_dict()

    def test_names_every_term_that_broke(self) -> None:
        terms = {"adv": torch.tensor(float("inf")), "bn": torch.tensor(float("-inf")), "oh": torch.tensor(2.0)}
        with pytest.raises(DfrdBenchError, match="Loss term adv, bn became nan"):
            total_loss(terms, "distillation")
