"""The one projected-gradient loop, and FGSM, PGD-20 (from one start or five) and CW∞ as configurations of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrd_bench.attacks.effort import Effort
from dfrd_bench.attacks.verdict import require_eval_mode, verdict
from dfrd_bench.problem import ThreatModel

Objective = Callable[[Tensor], Tensor]
"""Images [N, C, H, W] -> one value per image [N], to be increased."""


def project(x_adv: Tensor, x: Tensor, eps: float | Tensor) -> Tensor:
    """The nearest images to `x_adv` within eps of `x` (L∞) and within [0, 1]."""
    return torch.clamp(torch.minimum(torch.maximum(x_adv, x - eps), x + eps), 0, 1)


def ascend(
    objective: Objective,
    x: Tensor,
    *,
    eps: float | Tensor,
    step: float | Tensor,
    steps: int,
    start: Tensor | None = None,
) -> Tensor:
    """Signed gradient ascent on an objective, projected to the L∞ ball and to [0, 1] after every step.

    Args:
        objective: one value per image, to be increased; differentiable in the images.
        x: clean images [N, C, H, W], the ball's centres.
        eps: radius of the ball, or one per image, [N, 1, 1, 1]; `math.inf` leaves only [0, 1].
        step: length of one step in pixel units, or one per image.
        steps: number of steps.
        start: where to begin (projected first); `x` itself by default.

    Returns:
        Images [N, C, H, W], detached.
    """
    centre = x.detach()
    current = centre if start is None else project(start.detach(), centre, eps)
    for _ in range(steps):
        variable = current.clone().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(objective(variable).sum(), variable)
        current = project(current + step * gradient.sign(), centre, eps)
    return current


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy per image: [N, K], [N] -> [N]."""
    return F.cross_entropy(logits, labels, reduction="none")


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """z_y − max_{j≠y} z_j per image (FERD eq. 1): [N, K], [N] -> [N]; negative when misclassified."""
    true = logits.gather(1, labels[:, None])[:, 0]
    others = logits.scatter(1, labels[:, None], -math.inf)
    return true - others.amax(dim=1)


def carlini_wagner(logits: Tensor, labels: Tensor, confidence: float = 50.0) -> Tensor:
    """max_{j≠y} z_j − z_y, clipped at a confidence (Carlini & Wagner 2017, objective f6): [N, K], [N] -> [N]."""
    return torch.clamp(-margin(logits, labels), max=confidence)


def uniform_start(x: Tensor, eps: float, indices: Tensor, seed: int, number: int = 0) -> Tensor:
    """x plus noise from U(−eps, eps), drawn image by image from (seed, index), so no other image and no batch size matters.

    Args:
        x: images [N, C, H, W].
        eps: radius of the ball.
        indices: [N] position of each image in its test set.
        seed: the attack's seed.
        number: which of an image's starts, from 0; each is independent of the others.
    """
    noise = np.empty(tuple(x.shape), dtype=np.float32)
    for row, index in enumerate(indices.tolist()):  # counter-based: a stream per (seed, index), far apart by number
        stream = np.random.Philox(key=[seed, index], counter=[0, 0, 0, number])
        noise[row] = np.random.Generator(stream).uniform(-eps, eps, noise[row].shape)
    return x + torch.from_numpy(noise).to(x)


@dataclass(frozen=True, kw_only=True)
class ProjectedGradient:
    """A white-box L∞ attack on the evaluated model.

    Attributes:
        summary: one line for `dfrd-bench list attacks`.
        loss: (logits, labels) -> one value per image, to be increased.
        loss_name: how records name the loss.
        steps: number of steps.
        random_start: begin at a uniformly random point of the ball instead of the image itself.
        starts: how many random points to begin at, one after the other, as long as the image stands.
        full_step: step by eps instead of by the threat model's step.
    """

    summary: str
    loss: Callable[[Tensor, Tensor], Tensor]
    loss_name: str
    steps: int
    random_start: bool
    starts: int = 1
    full_step: bool = False

    def parameters(self, threat: ThreatModel) -> dict[str, Any]:
        """What a record stores about this attack."""
        return {
            "norm": threat.norm,
            "eps": threat.eps,
            "step": threat.eps if self.full_step else threat.step,
            "steps": self.steps,
            "loss": self.loss_name,
            "random_start": self.random_start,
            **({"starts": self.starts} if self.starts > 1 else {}),
        }

    def effort(self, num_classes: int) -> Effort:
        """A gradient per step and start, and a verdict per start."""
        return Effort(queries=self.starts, gradients=self.steps * self.starts)

    def __call__(
        self, model: nn.Module, x: Tensor, y: Tensor, *, threat: ThreatModel, indices: Tensor, seed: int
    ) -> Tensor:
        """Adversarial images for a batch.

        With several starts, an image comes back as the first of them left it that breaks it, or else as the last one did. The
        first start is the one that a single start would have been.

        Args:
            model: in eval mode; images [N, C, H, W] in [0, 1] -> logits [N, K].
            x: clean images.
            y: true labels [N].
            threat: ball and step.
            indices: [N] position of each image in its test set; seeds the random starts.
            seed: the evaluation's seed.

        Raises:
            DfrdBenchError: the network is in training mode.
        """
        require_eval_mode(model)

        def from_start(number: int, x: Tensor, y: Tensor, indices: Tensor) -> Tensor:
            return ascend(
                lambda images: self.loss(model(images), y),
                x,
                eps=threat.eps,
                step=threat.eps if self.full_step else threat.step,
                steps=self.steps,
                start=uniform_start(x, threat.eps, indices, seed, number) if self.random_start else None,
            )

        x_adv = from_start(0, x, y, indices)
        for number in range(1, self.starts):
            with torch.no_grad():
                standing = verdict(model(x_adv), y)[0] == y
            if not standing.any():
                break
            x_adv[standing] = from_start(number, x[standing], y[standing], indices[standing.to(indices.device)])
        return x_adv


fgsm = ProjectedGradient(
    summary="FGSM: one step of eps on cross-entropy, no random start (Goodfellow et al. 2015)",
    loss=cross_entropy,
    loss_name="cross-entropy",
    steps=1,
    random_start=False,
    full_step=True,
)
pgd20 = ProjectedGradient(
    summary="PGD-20: 20 steps on cross-entropy, uniform random start (Madry et al. 2018)",
    loss=cross_entropy,
    loss_name="cross-entropy",
    steps=20,
    random_start=True,
)
pgd20x5 = replace(
    pgd20,
    summary="PGD-20 from five uniform random starts, the best of them for the attacker; a check on PGD-20",
    starts=5,
)
cw = ProjectedGradient(
    summary="CW∞: PGD-20 on the margin loss, clipped at confidence 50 (Carlini & Wagner 2017)",
    loss=carlini_wagner,
    loss_name="margin, confidence 50",
    steps=20,
    random_start=True,
)
