"""Training images held out for validation, and how the student fares on images that it is not trained on just now."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from dfrd_bench.distillation.inner_attack import InnerAttack
from dfrd_bench.distillation.lessons import Batch
from dfrd_bench.distillation.modes import frozen
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.method import Progress, silent
from dfrd_bench.problem import TrainingProblem


def held_out(problem: TrainingProblem, share: float) -> tuple[TrainingProblem, TrainingProblem]:
    """The problem with the images that remain for training, and with those held out for validation; both have all classes.

    Of every class `share` of its images is held out, rounded, at least one and not all; which, the problem's seed says.

    Raises:
        DfrdBenchError: a class has a single image.
    """
    generator, labels = torch.Generator().manual_seed(problem.seed), problem.labels.cpu()
    validated = torch.zeros(len(labels), dtype=torch.bool)
    for label, name in enumerate(problem.info.class_names):
        own = (labels == label).nonzero()[:, 0]
        if len(own) < 2:
            raise DfrdBenchError(
                f"The training split has {len(own)} image of the class {name!r}, and this method holds some of every class "
                "out for validation: it needs 2 at the least."
            )
        count = min(max(round(share * len(own)), 1), len(own) - 1)
        validated[own[torch.randperm(len(own), generator=generator)[:count]]] = True
    validated = validated.to(problem.device)
    training, validation = (
        replace(problem, images=problem.images[which], labels=problem.labels[which])
        for which in (~validated, validated)
    )
    return training, validation


def attacked_logits(
    student: nn.Module,
    part: TrainingProblem,
    attack: InnerAttack,
    generator: torch.Generator,
    *,
    batch_size: int,
    progress: Progress = silent,
) -> Tensor:
    """f^S(x_adv) on all images of a part, in their order and not augmented: [N, K]; the student in eval mode.

    Args:
        student: left as it was.
        part: whose images.
        attack: away from the label or the clean prediction, in eval mode.
        generator: draws the starts.
        batch_size: how many images at once.
        progress: told of the stage "validate".
    """
    assert attack.mode == "eval", "a measurement does not move BatchNorm's statistics"
    precision, found = part.precision, []
    pieces = torch.split(torch.arange(len(part.labels), device=part.device), batch_size)
    progress("validate", 0, len(pieces))
    for done, index in enumerate(pieces, start=1):
        batch = Batch(precision.images(part.images[index].float() / 255), part.labels[index])
        x_adv = attack(student, batch, generator).x
        with frozen(student), torch.no_grad():
            found.append(precision.logits(student, x_adv))
        progress("validate", done, len(pieces))
    return torch.cat(found)


def class_accuracies(logits: Tensor, labels: Tensor) -> Tensor:
    """Share of each class that is classified correctly, in float64: logits [N, K] and labels [N] of all classes -> [K]."""
    right = (logits.argmax(dim=1) == labels).double()
    total = torch.zeros(logits.shape[1], dtype=torch.float64, device=logits.device).index_add_(0, labels, right)
    return total / torch.bincount(labels, minlength=logits.shape[1])
