"""Batches that several processes attack: the same classes, stages and warnings as of one, and nothing is lost when one dies."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import plugin_packages
import psutil
import pytest
import tiny
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dfrd_bench.attacks.autoattack import AutoAttack, autoattack, autoattack_fast
from dfrd_bench.attacks.verdict import AttackWarning
from dfrd_bench.errors import DfrdBenchError, FailedError
from dfrd_bench.evaluation.evaluate import evaluate_model
from dfrd_bench.evaluation.helpers import Helpers
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import ThreatModel

THREAT = ThreatModel(eps=0.02, step=0.005)
BATCH = 12
Arrays = dict[str, NDArray[Any]]


@pytest.fixture
def images(batch: tuple[Tensor, Tensor]) -> LabelledImages:
    """Four batches, five images of which are wrong from the start."""
    x, y = batch
    return LabelledImages(x[: 4 * BATCH], torch.cat([(y[:5] + 1) % 10, y[5 : 4 * BATCH]]))


@pytest.fixture
def helpers(net: nn.Module, images: LabelledImages) -> Iterator[Helpers]:
    with Helpers(2, net, images, threat=THREAT, device=tiny.CPU, seed=4) as made:
        yield made


def told(attack: AutoAttack, net: nn.Module, images: LabelledImages, **more: Any) -> tuple[bytes, list[Any], list[str]]:
    """Classes to the byte, stages and warnings."""
    stages: list[Any] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AttackWarning)
        classes = attack.predict(
            *(net, images),
            **{"threat": THREAT, "device": tiny.CPU, "seed": 4, "batch_size": BATCH, **more},
            on_stage=lambda *stage: stages.append(stage),
        )
    return classes.numpy().tobytes(), stages, [str(one.message) for one in caught]


@pytest.mark.parametrize("name", ["autoattack", "autoattack-fast"])
def test_autoattack_says_the_same_by_two_processes_as_by_one(
    net: nn.Module, images: LabelledImages, helpers: Helpers, name: str
) -> None:
    attack = {"autoattack": autoattack, "autoattack-fast": autoattack_fast}[name]
    begun: list[tuple[str, int]] = []
    begin = helpers.begin

    def noted(number: int, stage: str, where: Tensor) -> None:
        begun.append((stage, len(where)))
        begin(number, stage, where)

    helpers.begin = noted  # type: ignore[method-assign]
    alone = told(attack, net, images)
    together = told(attack, net, images, crew=helpers.on(name))
    assert together == alone
    shares = [share for _, share in alone[1]]
    assert 1 > shares[0] > shares[-1] > 0
    assert begun.count(("apgd-ce", BATCH)) == 3  # of 43 images that stand
    assert len({helper.process.pid for helper in helpers.helpers}) == 2
