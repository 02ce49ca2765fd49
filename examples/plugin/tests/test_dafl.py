"""DAFL keeps the contract of dfrd-bench, and its three losses are those of the paper."""

from __future__ import annotations

import pytest
import torch
from dfrd_bench_dafl import DAFL
from torch import nn

from dfrd_bench.testing import check_method, tiny_config, toy_problem


def test_keeps_the_contract() -> None:
    check_method(DAFL)


def test_losses_are_those_of_the_paper() -> None:
    method = DAFL(toy_problem(), tiny_config(DAFL, {"lambda_oh": 2.0, "lambda_a": 3.0, "lambda_ie": 5.0}))
    teacher = method.problem.teacher
    before_fc = nn.Sequential(teacher.conv1, teacher.block1, teacher.block2, teacher.block3, teacher.bn1, nn.ReLU())
    x = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    features = before_fc(x).mean(dim=(2, 3))
    p = teacher.fc(features).softmax(dim=1)
    frequency = p.mean(dim=0)
    terms = method.generator_loss(x, torch.zeros(16, dtype=torch.int64))
    assert terms["oh"].item() == pytest.approx(-2 * p.amax(dim=1).log().mean().item(), rel=1e-4)
    assert terms["a"].item() == pytest.approx(-3 * features.mean().item(), rel=1e-4)
    assert terms["ie"].item() == pytest.approx(5 * (frequency * frequency.log10()).sum().item(), rel=1e-4)
