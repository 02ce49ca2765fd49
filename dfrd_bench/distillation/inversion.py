"""Inverting a teacher: the three terms by which CMI, DeepInversion and FastDFKD make images."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Protocol

from torch import Tensor
from torch.nn import functional as F

from dfrd_bench.distillation.batchnorm import MovingStatistics
from dfrd_bench.distillation.losses import kl_where_agreed
from dfrd_bench.problem import Problem


class InversionWeights(Protocol):
    """The part of a method's configuration that says how much each term counts; 0 leaves a term out."""

    @property
    def lambda_bn(self) -> float: ...
    @property
    def lambda_oh(self) -> float: ...
    @property
    def lambda_adv(self) -> float: ...


class Inversion:
    """λ_bn·L_bn + λ_oh·L_oh − λ_adv·D(f^T(x), f^S(x)): like the training data, of a class, and news to the student.

    L_bn is the distance from the teacher's BatchNorm statistics, L_oh the teacher's cross-entropy to the wanted class.

    Args:
        problem: f^T and f^S.
        weights: λ_bn, λ_oh, λ_adv.
        owner: the method's name, for error messages.
        momentum: how much earlier rounds count in L_bn, see `MovingStatistics`.
        disagreement: D, logits [N, K] twice -> scalar.

    Attributes:
        statistics: behind L_bn; None where λ_bn is 0.

    Raises:
        DfrdBenchError: λ_bn is not 0 and the teacher has no BatchNorm.
    """

    def __init__(
        self,
        problem: Problem,
        weights: InversionWeights,
        *,
        owner: str,
        momentum: float = 0.0,
        disagreement: Callable[[Tensor, Tensor], Tensor] = kl_where_agreed,
    ) -> None:
        self.problem = problem
        self.weights = weights
        self.disagreement = disagreement
        self.statistics = (
            MovingStatistics(problem.teacher, f"{owner}'s L_bn (lambda_bn)", momentum=momentum)
            if weights.lambda_bn
            else None
        )

    def __call__(self, x: Tensor, labels: Tensor, *, adversarial: bool = True) -> dict[str, Tensor]:
        """The weighted terms "oh", "bn" and "adv" (those that have a weight) of images [N, C, H, W] of classes [N].

        Args:
            x: what the networks are shown.
            labels: the classes the images are made for.
            adversarial: False leaves the disagreement out; the student is then not run.
        """
        with self.statistics.record() if self.statistics else nullcontext():
            z_teacher: Tensor = self.problem.teacher(x)
        terms = {"oh": self.weights.lambda_oh * F.cross_entropy(z_teacher.float(), labels)}
        if self.statistics:
            terms["bn"] = self.weights.lambda_bn * self.statistics.distance()
        if self.weights.lambda_adv and adversarial:
            terms["adv"] = -self.weights.lambda_adv * self.disagreement(z_teacher, self.problem.student(x))
        return terms
