"""Steady is Fast with other values, each of which can be given to Fast too."""

from __future__ import annotations

from typing import Any

import torch

from dfrd_bench.registry import METHODS
from dfrd_bench.testing import problem_for, tiny_config
from dfrd_bench.testing.untouched import difference

PARTS: dict[str, Any] = {"conversion": "adaad", "lr": 0.6}


def numbers_and_weights(name: str, epochs: int, **settings: Any) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """Those of the last epoch, and of the student after it."""
    method = METHODS.get(name)
    config = tiny_config(method, {"epochs": epochs, "attack_steps": 2, **settings})
    made = method(problem_for(method, (1, 8, 8), 3), config)
    numbers = [made.train_epoch(epoch) for epoch in range(epochs)]
    return numbers[-1], dict(made.student.state_dict())


def trained(name: str, epochs: int = 2, **settings: Any) -> dict[str, torch.Tensor]:
    return numbers_and_weights(name, epochs, **settings)[1]


def test_steady_is_fast_with_other_values() -> None:
    assert difference(trained("steady"), trained("fast", **PARTS)) is None


def test_each_value_makes_another_student() -> None:
    steady = trained("steady")
    for part, other in {"conversion": "rslad", "lr": 0.1}.items():
        assert difference(steady, trained("steady", **{part: other})) is not None, part


def test_it_attacks_in_half_the_steps_of_the_budget() -> None:
    config = METHODS.get("steady").Config
    assert [config.at_budget({"attack_steps": steps})["attack_steps"] for steps in (10, 5, 2, 1)] == [5, 3, 1, 1]
    assert (config.at_budget({"epochs": 3}), 2 * config().attack_steps) == (
        {"epochs": 3},
        METHODS.get("fast").Config().attack_steps,
    )


def test_steady_even_moves_nothing_but_the_output_biases_and_says_how_far() -> None:
    numbers, even = numbers_and_weights("steady-even", epochs=6, evening=4.0)
    steady = trained("steady", epochs=6)
    (moved,) = [name for name, weights in even.items() if not torch.equal(weights, steady[name])]
    shifts = torch.tensor([numbers[f"shift/{k}"] for k in range(3)])
    assert moved.endswith("bias")
    assert torch.allclose(even[moved] - steady[moved], shifts, atol=1e-6)
    assert abs(float(shifts.sum())) < 1e-6 < float(shifts.abs().max())  # what some classes get, others give


def test_steady_even_without_evening_is_steady() -> None:
    assert difference(trained("steady-even", evening=0.0), trained("steady")) is None
