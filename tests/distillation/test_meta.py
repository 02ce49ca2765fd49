"""FOMAML and Reptile on a quadratic whose every gradient is known."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dfrd_bench.distillation.meta import InnerLoop, MetaRule

SOLUTION = torch.tensor([1.0, -2.0, 3.0])
CURVATURE = torch.tensor([1.0, 2.0, 0.5])
RATE, STEPS = 0.1, 4


class Point(nn.Module):
    """θ, started at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(3))
        self.unused = nn.Parameter(torch.ones(1))

    def loss(self) -> Tensor:
        """½·Σ c·(θ − solution)²; its gradient is c·(θ − solution)."""
        return (CURVATURE * (self.theta - SOLUTION).square()).sum() / 2


def adapt(point: Point, rule: MetaRule) -> InnerLoop:
    """Gradient descent of the copy."""
    loop = InnerLoop(point, rule)
    optimiser = torch.optim.SGD(loop.adapted.parameters(), lr=RATE)
    for _ in range(STEPS):
        optimiser.zero_grad()
        loop.adapted.loss().backward()
        loop.gather()
        optimiser.step()
    loop.finish()
    return loop


def path() -> list[Tensor]:
    """Where gradient descent from 0 is after 0, 1, … steps: the error shrinks by (1 − rate·curvature) each step."""
    return [SOLUTION - (1 - RATE * CURVATURE) ** step * SOLUTION for step in range(STEPS + 1)]


def test_fomaml_is_the_sum_of_the_inner_gradients() -> None:
    point = Point()
    adapt(point, "fomaml")
    expected = sum((CURVATURE * (theta - SOLUTION) for theta in path()[:-1]), torch.zeros(3))
    assert torch.allclose(point.theta.grad, expected)


def test_reptile_is_the_way_back_from_the_inner_solution() -> None:
    point = Point()
    loop = adapt(point, "reptile")
    assert torch.allclose(loop.adapted.theta, path()[-1])
    assert torch.allclose(point.theta.grad, -path()[-1])
    torch.optim.SGD(point.parameters(), lr=0.5).step()
    assert torch.allclose(point.theta, path()[-1] / 2)  # half way to where the inner loop ended


def test_the_model_itself_does_not_move_and_unused_weights_get_no_gradient() -> None:
    for rule in ("fomaml", "reptile"):
        point = Point()
        adapt(point, rule)
        assert torch.equal(point.theta, torch.zeros(3))
        assert point.unused.grad is None or float(point.unused.grad) == 0


def test_a_new_round_forgets_the_old_gradients() -> None:
    point = Point()
    adapt(point, "fomaml")
    once = point.theta.grad.clone()
    adapt(point, "fomaml")
    assert torch.equal(point.theta.grad, once)


def test_meta_learning_finds_a_better_start() -> None:
    for rule in ("fomaml", "reptile"):
        point = Point()
        outer = torch.optim.SGD(point.parameters(), lr=0.2)
        first = float(adapt(point, rule).adapted.loss().detach())
        for _ in range(60):
            adapt(point, rule)
            outer.step()
        assert float(adapt(point, rule).adapted.loss().detach()) < 0.1 * first
