"""Evening out: moving a trained network's decision boundaries towards the classes that withstand an attack."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from dfrd_bench.distillation.inner_attack import InnerAttack
from dfrd_bench.distillation.lessons import Batch
from dfrd_bench.distillation.tally import ClassTally
from dfrd_bench.errors import DfrdBenchError


def output_bias(student: nn.Module, num_classes: int) -> Tensor:
    """The biases [K] that a network adds to its logits.

    Raises:
        DfrdBenchError: its last linear layer has none, or has not K outputs.
    """
    layers = [layer for layer in student.modules() if isinstance(layer, nn.Linear)]
    bias = layers[-1].bias if layers and layers[-1].out_features == num_classes else None
    if bias is None:
        raise DfrdBenchError(
            f"{type(student).__name__} cannot be evened out: it does not end with a linear layer that has a bias for each class."
        )
    return bias


def robust_shares(
    student: nn.Module, batches: Iterable[Batch], attack: InnerAttack, generator: torch.Generator
) -> Tensor:
    """Of each class the share of images that are still taken for it once attacked, [K]; the others' mean where there is none."""
    problem = attack.problem
    tally = ClassTally(problem.num_classes, problem.device)
    seen = torch.zeros(problem.num_classes, dtype=torch.bool, device=problem.device)
    for batch in batches:
        attacked = attack(student, batch, generator)
        student.eval()
        with torch.no_grad():
            right = problem.precision.logits(student, attacked.x).argmax(dim=1) == batch.labels
        tally.add(batch.labels, right[:, None])
        seen[batch.labels] = True
    shares = tally.finish()[:, 0]
    return torch.where(seen, shares, shares[seen].mean())
