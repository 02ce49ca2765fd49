"""Margins class by class: what an attack within them may change, and that equal ones change nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import tiny
import torch
from torch import nn

from dfrd_bench.distillation.inner_attack import InnerAttack
from dfrd_bench.distillation.lessons import Batch
from dfrd_bench.distillation.margins import ClassMargins
from dfrd_bench.problem import Problem

EPS = 0.1
LABELS = torch.tensor([0, 1, 2, 3, 1, 2])


@pytest.fixture
def batch() -> Batch:
    return Batch(0.4 + 0.2 * tiny.random_images(6), LABELS)  # so that [0, 1] is out of reach


@pytest.fixture
def student() -> nn.Module:
    return tiny.wide_resnet(seed=3)


@pytest.fixture
def problem() -> Problem:
    return tiny.problem(eps=EPS)


@pytest.mark.parametrize("start", ["noise", "uniform"])
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_of_one_are_the_threat_model_to_the_bit(
    problem: Problem, student: nn.Module, batch: Batch, start: str, mode: str
) -> None:
    plain = InnerAttack(problem=problem, away="label", start=start, mode=mode)  # type: ignore[arg-type]
    within = replace(plain, margins=ClassMargins(4, tiny.CPU))
    one, other = (attack(student, batch, torch.Generator().manual_seed(0)) for attack in (plain, within))
    assert torch.equal(one.x, other.x)
    assert torch.equal(one.withstood, other.withstood)


def test_bound_each_image_by_its_class(problem: Problem, student: nn.Module, batch: Batch) -> None:
    margins = ClassMargins(4, tiny.CPU)
    margins.set(torch.tensor([0.5, 1.5, 0.0, 1.0]))
    attack = InnerAttack(problem=problem, away="label", start="uniform", margins=margins)
    moved = (attack(student, batch, torch.Generator().manual_seed(0)).x - batch.x).abs().amax(dim=(1, 2, 3))
    expected = EPS * torch.tensor([0.5, 1.5, 0.0, 1.0])[LABELS]
    torch.testing.assert_close(moved, expected, atol=1e-6, rtol=0)  # ten steps of ε/4 reach the ball's surface


def test_steps_are_of_the_classs_length(problem: Problem, student: nn.Module, batch: Batch) -> None:
    margins = ClassMargins(4, tiny.CPU)
    margins.set(torch.ones(4), torch.tensor([1.0, 2.0, 0.5, 0.0]))
    attack = InnerAttack(problem=problem, away="label", steps=1, margins=margins)
    moved = (attack(student, batch, torch.Generator().manual_seed(0)).x - batch.x).abs().flatten(1).median(dim=1).values
    expected = EPS / 4 * torch.tensor([1.0, 2.0, 0.5, 0.0])[LABELS]
    torch.testing.assert_close(moved, expected, atol=0.002, rtol=0)  # from 0.001 of noise
