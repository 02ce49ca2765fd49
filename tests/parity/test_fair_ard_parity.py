"""A whole step of ARD, IAD and their fair versions against numbers that the released codes gave (README.md says which lines)."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from closed_form import fill, spread
from stored_case import Stored, close, stored
from tiny_networks import TinyNet
from torch import Tensor

from dfrd_bench.distillation.learner import Learner
from dfrd_bench.distillation.weighting import ClassDifficulty, class_weights
from dfrd_bench.problem import DatasetInfo, Precision, ThreatModel, TrainingProblem
from dfrd_bench.registry import METHODS

SHAPE, LABELS = (8, 3, 8, 8), torch.tensor([1, 2, 1, 3, 0, 2, 3, 1])
IMAGES = spread(SHAPE, 21, 0.06, 0.94)
WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 1.5])
RELEASED = {"count": "all", "sizes": "equal", "clamp": "released", "nesterov": True}
ARD = {"alpha": 0.7, "reduction": "mean", "label_temperature": 1.0}


@pytest.fixture(scope="module")
def theirs() -> Stored:
    return stored("fair-ard.npz")


def stepped(name: str, monkeypatch: pytest.MonkeyPatch, epoch: int = 0, **settings: Any) -> Learner:
    """A method after one step on their batch, attacked from their start; fair ones had other weights than 1."""
    monkeypatch.setattr(torch, "rand", lambda *_, **__: spread(SHAPE, 33))
    problem = TrainingProblem(
        teacher=fill(TinyNet(), 4).requires_grad_(False),
        student=fill(TinyNet(), 21),
        info=DatasetInfo(name="tiny", shape=SHAPE[1:], class_names=tuple("abcd")),
        threat=ThreatModel(),
        device=tiny.CPU,
        precision=Precision(channels_last=False),
        seed=0,
        images=torch.zeros(SHAPE, dtype=torch.uint8),
        labels=LABELS,
    )
    method = METHODS.get(name)
    learner: Learner = method(problem, method.Config(**settings))
    if isinstance(learner.weighting, ClassDifficulty):
        learner.weighting.weights = WEIGHTS
    learner.learn(learner.lesson_at(epoch), IMAGES, LABELS)
    return learner


def gradient(learner: Learner) -> Tensor:
    return torch.cat([p.grad.flatten() for p in learner.student.parameters() if p.grad is not None])


def running_mean(learner: Learner) -> Tensor:
    student = learner.student
    assert isinstance(student, TinyNet)
    return torch.cat([torch.as_tensor(layer.running_mean) for layer in (student.bn1, student.bn2)])


CASES: dict[str, tuple[str, int, dict[str, Any]]] = {
    "ard": ("ard", 0, ARD),
    "fair_ard": ("fair-ard", 0, {**ARD, **RELEASED}),
    "iad_before": ("iad", 59, {}),
    "iad": ("iad", 60, {}),
    "fair_iad": ("fair-iad", 60, RELEASED),
}


@pytest.mark.parametrize("case", CASES)
def test_the_students_gradient_is_theirs(case: str, theirs: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    name, epoch, settings = CASES[case]
    found = gradient(stepped(name, monkeypatch, epoch, **settings))
    assert close(found, theirs[f"{case}_gradient"], 1e-4)
    others = [theirs[f"{other}_gradient"] for other in CASES if other != case]
    assert not any(close(found, other, 1e-2 if {case} & {"ard", "fair_ard"} else 1e-3) for other in others)


@pytest.mark.parametrize("case", CASES)
def test_running_statistics_are_theirs_but_for_iads_pass_that_nothing_uses(
    case: str, theirs: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eleven passes in train mode over adversarial images, and one over the clean ones."""
    name, epoch, settings = CASES[case]
    assert close(running_mean(stepped(name, monkeypatch, epoch, **settings)), theirs[f"{case}_running_mean"]) is (
        "iad" not in case
    )


def test_classes_withstand_as_many_steps_as_theirs(theirs: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = stepped("fair-ard", monkeypatch, **ARD, **RELEASED)
    weighting = learner.weighting
    assert isinstance(weighting, ClassDifficulty)
    assert weighting.total.tolist() == theirs["fair_ard_kappa_total"].tolist() == [0, 7, 7, 3]
    numbers = weighting.end_epoch()
    assert [numbers[f"kappa/{k}"] for k in range(4)] == [
        0,
        3.5,
        3.5,
        1.5,
    ]  # by two images a class, of which one has three
    assert weighting.weights.tolist() == pytest.approx(theirs["fair_ard_next_weights"].tolist(), rel=1e-5)


def test_class_weights_are_theirs_but_where_fair_rslads_are_not_numbers(theirs: Stored) -> None:
    kappa = torch.tensor([6.5, 8, 4.2, 2.8])
    ours = class_weights(kappa, beta=2, clamp="released")
    assert ours.tolist() == pytest.approx(theirs["weights"].tolist(), rel=1e-5)
    assert theirs["rslad_weights_of_zero"].isnan().tolist() == [True, False, False, False]
    assert class_weights(torch.tensor([0.0, 5, 5, 5]), beta=2, clamp="released").isfinite().all()
