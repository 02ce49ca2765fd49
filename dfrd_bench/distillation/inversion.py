"""Inverting a teacher: the three terms CMI, DeepInversion and FastDFKD make images by."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from dfrd_bench.distillation.batchnorm import BatchNormStatistics
from dfrd_bench.distillation.losses import kl_where_agreed


@dataclass(frozen=True, kw_only=True)
class Inversion:
    """λ_bn·L_bn + λ_oh·L_oh − λ_adv·D(f^T(x), f^S(x)): like the training data, of a class, and news to the student.

    Attributes:
        teacher: f^T.
        student: f^S.
        statistics: of the teacher's BatchNorm layers; None where λ_bn is 0.
        bn: λ_bn, weight of the distance from the BatchNorm statistics.
        oh: λ_oh, weight of the cross-entropy to the wanted class.
        adv: λ_adv, weight of the disagreement; with 0 the student is not run.
        disagreement: D, logits [N, K] twice -> scalar.
    """

    teacher: nn.Module
    student: nn.Module
    statistics: BatchNormStatistics | None
    bn: float
    oh: float
    adv: float
    disagreement: Callable[[Tensor, Tensor], Tensor] = kl_where_agreed

    def __call__(self, x: Tensor, labels: Tensor, *, adversarial: bool = True) -> dict[str, Tensor]:
        """The weighted terms "bn", "oh" and "adv" (only those with a weight) of images [N, C, H, W] of classes [N].

        Args:
            x: what the networks are shown.
            labels: the classes the images are made for.
            adversarial: False leaves the disagreement out.
        """
        with self.statistics.record() if self.statistics else nullcontext():
            z_teacher: Tensor = self.teacher(x)
        terms = {"oh": self.oh * F.cross_entropy(z_teacher.float(), labels)}
        if self.statistics:
            terms["bn"] = self.bn * self.statistics.distance()
        if self.adv and adversarial:
            terms["adv"] = -self.adv * self.disagreement(z_teacher, self.student(x))
        return terms
