"""Methods with data on a toy problem: made, trained and compared."""

from __future__ import annotations

from typing import Any

import torch

from dfrd_bench.distillation.learner import Learner
from dfrd_bench.problem import Problem
from dfrd_bench.registry import METHODS
from dfrd_bench.testing import problem_for, tiny_config

EPOCHS = 3


def task(name: str) -> Problem:
    return problem_for(METHODS.get(name), (1, 8, 8), 4, images=24)


def made(name: str, problem: Problem | None = None, **settings: Any) -> Learner:
    method = METHODS.get(name)
    learner: Learner = method(problem or task(name), tiny_config(method, {"epochs": EPOCHS, **settings}))
    return learner


def trained(learner: Learner, first: int = 0, last: int = EPOCHS) -> Learner:
    for epoch in range(first, last):
        learner.train_epoch(epoch)
    return learner


def equal(one: Learner, other: Learner) -> bool:
    theirs = other.student.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in one.student.state_dict().items())
