"""Runs of a method small enough for a test, and properties every method must have."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import tiny
import torch
from torch import Tensor

from dfrd_bench.method import Method
from dfrd_bench.problem import Precision, Problem

SMALL = {
    "epochs": 3,
    "batch_size": 8,
    "warmup_epochs": 1,
    "synthesis_steps": 2,
    "distillation_steps": 2,
    "attack_steps": 2,
}
SMALL_GENERATOR = {**SMALL, "generator_width": 4, "latent_dim": 8}


def make(method: type[Method], problem: Problem | None = None, **settings: Any) -> Any:
    """A method with a tiny budget on a tiny problem; typed loosely, as tests look inside."""
    small = SMALL_GENERATOR if "generator_width" in method.Config.model_fields else SMALL
    return method(tiny.problem() if problem is None else problem, method.Config(**{**small, **settings}))


def labels_for(method: Any) -> Tensor:
    """Uniform labels, as many as a batch has."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(method.problem.num_classes, (method.config.batch_size,), generator=generator)


def saved(method: Method) -> Any:
    """The state, as it comes back from a file."""
    buffer = io.BytesIO()
    torch.save(method.state_dict(), buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def assert_same(first: Any, second: Any, where: str = "state") -> None:
    """Two nested states are bit for bit the same."""
    if isinstance(first, Tensor):
        assert torch.equal(first, second), where
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first:
            assert_same(first[key], second[key], f"{where}.{key}")
    elif isinstance(first, (list, tuple)):
        assert len(first) == len(second), where
        for index, pair in enumerate(zip(first, second, strict=True)):
            assert_same(*pair, f"{where}[{index}]")
    else:
        assert first == second, where


def check_resumes_exactly(method: type[Method], stop_after: int = 2, **settings: Any) -> None:
    """Stopping after some epochs and going on in a new object, of another seed, changes nothing."""
    whole, first = make(method, **settings), make(method, **settings)
    for epoch in range(whole.config.epochs):
        whole.train_epoch(epoch)
    for epoch in range(stop_after):
        first.train_epoch(epoch)
    second = make(method, tiny.problem(seed=99), **settings)
    second.load_state_dict(saved(first))
    for epoch in range(stop_after, whole.config.epochs):
        second.train_epoch(epoch)
    assert_same(saved(whole), saved(second))


def check_leaves_the_teacher_alone(method: type[Method], **settings: Any) -> None:
    """Neither weights nor BatchNorm statistics of the teacher move, and no hook stays on it; the student does learn."""
    m = make(method, **settings)
    before = {name: value.clone() for name, value in m.problem.teacher.state_dict().items()}
    student = [p.clone() for p in m.student.parameters()]
    for epoch in range(m.config.epochs):
        m.train_epoch(epoch)
    assert_same(before, dict(m.problem.teacher.state_dict()))
    assert not m.problem.teacher.training
    assert all(p.grad is None and not p.requires_grad for p in m.problem.teacher.parameters())
    assert not any(module._forward_pre_hooks for module in m.problem.teacher.modules())
    assert all(p.requires_grad for p in m.student.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(student, m.student.parameters(), strict=True))


def check_runs(method: type[Method], *, channels: int, size: int, classes: int, **settings: Any) -> None:
    """An epoch of synthesis and distillation gives finite numbers and images in [0, 1]."""
    m = make(method, tiny.problem(channels=channels, size=size, classes=classes), epochs=1, **settings)
    numbers = m.train_epoch(0)
    assert torch.isfinite(torch.tensor(list(numbers.values()))).all(), numbers
    assert "loss" in numbers
    images = m.sample(4)
    assert images.shape == (4, channels, size, size)
    assert 0 <= images.min() <= images.max() <= 1


def check_losses_are_float32_under_bf16(method: type[Method], **settings: Any) -> None:
    """With bfloat16 autocast every loss term of the synthesis is still a float32 number, and an epoch runs."""
    m = make(method, replace(tiny.problem(), precision=Precision("bf16")), epochs=1, **settings)
    with m.problem.autocast():
        terms = m.generator_loss(tiny.random_images(8), labels_for(m))
    assert {term.dtype for term in terms.values()} == {torch.float32}
    m.train_epoch(0)
