"""Steady is Fast with other values, each of which can be given to Fast too."""

from __future__ import annotations

from typing import Any

import torch

from dfrd_bench.registry import METHODS
from dfrd_bench.testing import problem_for, tiny_config
from dfrd_bench.testing.untouched import difference

PARTS: dict[str, Any] = {"conversion": "adaad", "lr": 0.6}


def trained(name: str, **settings: Any) -> dict[str, torch.Tensor]:
    method = METHODS.get(name)
    made = method(problem_for(method, (1, 8, 8), 3), tiny_config(method, {"epochs": 2, "attack_steps": 2, **settings}))
    for epoch in range(2):
        made.train_epoch(epoch)
    return dict(made.student.state_dict())


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
