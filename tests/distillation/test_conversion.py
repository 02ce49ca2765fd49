"""Plain and robust distillation: one adversary, one loss, nothing more."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from scipy.special import softmax
from scipy.stats import entropy
from torch import Tensor, nn

from dfrd_bench.distillation.conversion import PlainDistillation, RobustDistillation
from dfrd_bench.distillation.losses import rslad

X = tiny.random_images(5)


@pytest.fixture
def logits() -> tuple[nn.Module, Tensor, np.ndarray, np.ndarray]:
    """A student, teacher logits, and the student's probabilities on X and on 1 − X."""
    student = tiny.SmallConv(num_classes=4)
    teacher_logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        q, q_adv = (softmax(student(images).double().numpy(), axis=1) for images in (X, 1 - X))
    return student, teacher_logits, q, q_adv


def test_plain_distillation_is_kl_on_the_clean_images(
    logits: tuple[nn.Module, Tensor, np.ndarray, np.ndarray],
) -> None:
    student, teacher, q, _ = logits
    terms = PlainDistillation()(student, X, teacher, torch.Generator())
    expected = entropy(softmax(teacher.numpy(), axis=1), q, axis=1).mean()
    assert sum(terms.values()).item() == pytest.approx(expected, rel=1e-4)


def test_robust_distillation_weighs_the_adversarys_images_against_the_clean_ones(
    logits: tuple[nn.Module, Tensor, np.ndarray, np.ndarray],
) -> None:
    student, teacher, q, q_adv = logits
    terms = RobustDistillation(lambda model, x, z, source: 1 - x, rslad)(student, X, teacher, torch.Generator())
    p = softmax(teacher.numpy(), axis=1)
    expected = (5 * entropy(p, q_adv, axis=1).mean() + entropy(p, q, axis=1).mean()) / 6
    assert sum(terms.values()).item() == pytest.approx(expected, rel=1e-4)
