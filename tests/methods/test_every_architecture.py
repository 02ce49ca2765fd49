"""Every built-in method trains every architecture, and learns from it: as student and as teacher."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.problem import Precision, Problem, TrainingProblem
from dfrd_bench.registry import METHODS
from dfrd_bench.students.base import build_network
from dfrd_bench.testing import problem_for, tiny_config

METHOD_NAMES = [name for name in METHODS.names() if METHODS.distribution(name).startswith("dfrd-bench ")]
BUDGET = {"epochs": 1, "warmup_epochs": 0, "synthesis_rounds": 1, "batch_size": 4, "head_hidden": 8}


def one_epoch(name: str, problem: Problem, **settings: Any) -> dict[str, float]:
    method = METHODS.get(name)
    budget = {k: v for k, v in BUDGET.items() if k in method.Config.model_fields}
    before = {key: value.clone() for key, value in problem.student.named_parameters()}
    numbers: dict[str, float] = method(problem, tiny_config(method, {**budget, **settings})).train_epoch(0)
    assert all(value.isfinite().all() for value in problem.student.state_dict().values())
    assert any(not torch.equal(before[key], value) for key, value in problem.student.named_parameters())
    return numbers


def task(architecture: str, *, size: int = 16, name: str = "ferd") -> Problem:
    """A method's toy problem in which teacher and student are both of the architecture, with different weights."""
    problem = problem_for(METHODS.get(name), (3, size, size), 4)
    teacher, student = (build_network(architecture, channels=3, num_classes=4, seed=s) for s in (5, 6))
    with torch.no_grad():
        teacher.train()(torch.rand(16, 3, size, size, generator=torch.Generator().manual_seed(0)))
    place = Precision().place
    if isinstance(problem, TrainingProblem):
        problem = replace(problem, images=problem.images[:8], labels=problem.labels[:8])
    return replace(
        problem,
        teacher=place(teacher, problem.device).eval().requires_grad_(False),
        student=place(student, problem.device),
    )


@pytest.mark.parametrize("architecture", ["mobilenet-v2", "preactresnet-18", "resnet-18"])
@pytest.mark.parametrize("name", METHOD_NAMES)
def test_a_method_runs_on_an_architecture(name: str, architecture: str) -> None:
    numbers = one_epoch(name, task(architecture, size=12, name=name))
    assert numbers


@pytest.mark.parametrize("layer", ["layer1", "layer2", "layer3", "layer4"])
def test_ferd_can_be_split_at_every_block_of_a_resnet(layer: str) -> None:
    assert one_epoch("ferd", task("resnet-18"), layer=layer)


def test_ferd_refuses_a_block_without_positions_rather_than_leave_a_loss_constant() -> None:
    problem = task("resnet-18", size=8)
    with pytest.raises(DfrdBenchError, match=r"'layer4' of ResNet has one for 8x8 images: choose an earlier layer"):
        one_epoch("ferd", problem)
    assert one_epoch("ferd", problem, layer="layer3")
    assert one_epoch("ferd", problem, fae=False)
