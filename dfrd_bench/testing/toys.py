"""Tiny problems for tests of methods: a toy teacher, and training images for methods that see them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from dfrd_bench.method import Method
from dfrd_bench.problem import DatasetInfo, Precision, Problem, ThreatModel, TrainingProblem
from dfrd_bench.students.base import build_network
from dfrd_bench.teachers.nobody import NoTeacher


def toy_teacher(shape: tuple[int, int, int], num_classes: int, seed: int = 0) -> nn.Module:
    """An untrained WideResNet-10-1 that answers as variedly as a trained one; frozen, in eval mode.

    Its BatchNorm statistics are those of random images with structure (coarse noise, enlarged), so methods that compare with
    them have something to find.
    """
    model = build_network("wrn-10-1", channels=shape[0], num_classes=num_classes, seed=seed).train()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.get_submodule("fc").get_parameter("weight").mul_(8)
        for _ in range(20):
            coarse = torch.rand(16, shape[0], 4, 4, generator=generator)
            model(F.interpolate(coarse, size=shape[1:], mode="bilinear"))
    return model.eval().requires_grad_(False)


def toy_problem(
    shape: tuple[int, int, int] = (1, 8, 8),
    num_classes: int = 4,
    seed: int = 0,
    *,
    eps: float = 0.1,
    mirrored: bool = True,
) -> Problem:
    """A data-free problem on the CPU with a toy teacher, always the same for the same arguments.

    Args:
        shape: (channels, height, width) of one image; at least 4 pixels high and wide.
        num_classes: number of classes.
        seed: of the student's initial weights and of the method; the teacher does not depend on it.
        eps: radius of the L∞ ball.
        mirrored: whether mirrored images count as images of their class.
    """
    precision, device = Precision(), torch.device("cpu")
    student = build_network("wrn-10-1", channels=shape[0], num_classes=num_classes, seed=seed)
    names = tuple(f"class {k}" for k in range(num_classes))
    return Problem(
        teacher=precision.place(toy_teacher(shape, num_classes, seed=1000), device),
        student=precision.place(student, device),
        info=DatasetInfo(name="toy", shape=shape, class_names=names, mirrored=mirrored),
        threat=ThreatModel(eps=eps, step=eps / 4),
        device=device,
        precision=precision,
        seed=seed,
    )


def toy_training_problem(
    shape: tuple[int, int, int] = (1, 8, 8), num_classes: int = 4, seed: int = 0, *, images: int = 24, **others: Any
) -> TrainingProblem:
    """A `toy_problem` with training images that can be learnt: noise around a pattern of each class.

    Args:
        shape: that of `toy_problem`.
        num_classes: that of `toy_problem`.
        seed: that of `toy_problem`; the images do not depend on it.
        images: how many.
        others: those of `toy_problem`.
    """
    plain = toy_problem(shape, num_classes, seed, **others)
    generator = torch.Generator().manual_seed(2000)
    labels = torch.arange(images) % num_classes
    patterns = torch.rand(num_classes, *shape, generator=generator)
    noise = torch.rand(images, *shape, generator=generator)
    pixels = (255 * (patterns[labels] + noise) / 2).round().to(torch.uint8)
    return TrainingProblem(**vars(plain), images=pixels, labels=labels)


def problem_for(method: type[Method], *task: Any, **others: Any) -> Problem:
    """A toy problem as a method is given it: with training images if it sees them, with as many teachers as it has."""
    problem = (toy_problem if method.sees == "nothing" else toy_training_problem)(*task, **others)
    if method.needs_natural_teacher and isinstance(problem, TrainingProblem):
        natural = problem.precision.place(toy_teacher(problem.shape, problem.num_classes, seed=3000), problem.device)
        problem = replace(problem, natural_teacher=natural)
    return problem if method.has_teacher else replace(problem, teacher=NoTeacher().eval())
