"""Noise: uniform pixels, as many student steps as other methods take."""

from __future__ import annotations

import torch
from scipy.stats import kstest

from dfrd_bench.registry import METHODS
from dfrd_bench.testing import problem_for, tiny_config


def noise(**settings: object) -> object:
    method = METHODS.get("noise")
    return method(problem_for(method), tiny_config(method, settings))


def test_pixels_are_uniform_and_no_image_comes_twice() -> None:
    method = noise()
    first, second = (method.images(200, method.rng) for _ in range(2))  # type: ignore[attr-defined]
    assert kstest(first.flatten().numpy(), "uniform").pvalue > 0.01
    assert not torch.equal(first, second)


def test_takes_the_student_steps_of_a_method_with_a_warm_up() -> None:
    config = METHODS.get("noise").Config
    budget = {"epochs": 12, "warmup_epochs": 4, "distillation_steps": 30, "synthesis_steps": 9}
    made = config(**config.at_budget(budget)).made()
    fast = METHODS.get("fast").Config
    assert made["student steps"] == fast(**fast.at_budget(budget)).made()["student steps"] == 8 * 30
    assert set(made) == {"student steps"}
