"""Which classes to synthesize more of: from the teacher's per-class robustness to a distribution over classes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from dfrd_bench.attacks.projected_gradient import ascend, cross_entropy, margin
from dfrd_bench.attacks.surrogate import StandIns
from dfrd_bench.problem import Problem

Strategy = Literal["softmax", "minmax", "power", "linear", "sigmoid", "tanh", "uniform"]
STEPS_BASED = ("power", "linear", "sigmoid", "tanh")
MINMAX_RANGE = (0.05, 0.2)
Unit = Literal["logit", "spread"]
TINY = 1e-300  # classes that are all alike are equally likely


def class_means(values: Tensor, labels: Tensor, previous: Tensor) -> Tensor:
    """Mean of `values` [N] over each class of `labels` [N]; classes without an image keep their `previous` [K] value."""
    count = torch.bincount(labels, minlength=len(previous))
    total = torch.zeros_like(previous).index_add_(0, labels, values.to(previous.dtype))
    return torch.where(count > 0, total / count.clamp(min=1), previous)


def distribution(
    vulnerability: Tensor,
    strategy: Strategy,
    *,
    steps: int = 20,
    temperature: float = 1.0,
    unit: Unit = "logit",
    exponent: float = 2.0,
    shift: float = 0.0,
) -> Tensor:
    """Sampling probabilities per class, [K] -> [K], in float64.

    Args:
        vulnerability: for softmax and minmax D_c, the mean negative adversarial margin (FERD eq. 2); for the others κ_c,
            the mean number of PGD steps to the first misclassification (eq. 26).
        strategy: `softmax` (FERD), `minmax` (released code), `power`, `linear`, `sigmoid`, `tanh` (eq. 27–30), `uniform`.
        steps: K of eq. 26.
        temperature: of the softmax.
        unit: what the temperature is counted in: units of D_c, that is of the teacher's logits, or D_c's own standard deviation
            over the classes, so that the weights do not depend on the scale of the teacher's logits.
        exponent: β of eq. 27.
        shift: λ of eq. 29 and 30.
    """
    d = vulnerability.double()
    if strategy == "softmax":
        if unit == "spread":
            d = (d - d.mean()) / (d.std(correction=0) + TINY)
        return torch.softmax(d / temperature, dim=0)
    if strategy == "uniform":
        weight = torch.ones_like(d)
    elif strategy == "minmax":
        low, high = MINMAX_RANGE
        spread = d.max() - d.min()
        weight = low + (high - low) * (d - d.min()) / spread if spread > 0 else torch.ones_like(d)
    elif strategy == "power":
        weight = d.clamp(min=1).pow(-exponent)  # κ = 0, wrong before any step, as if it were 1
    elif strategy == "linear":
        weight = 1 - d / (steps + 1)
    elif strategy == "sigmoid":
        weight = torch.sigmoid(shift + 5 * (1 - 2 * d / steps))
    else:
        weight = (1 + torch.tanh(shift + 5 * (1 - 2 * d / steps))) / 2
    return weight / weight.sum()


def probe(
    problem: Problem,
    x: Tensor,
    labels: Tensor,
    *,
    steps: int,
    probabilities: bool,
    generator: torch.Generator,
    stand_ins: StandIns | None = None,
) -> tuple[Tensor, Tensor]:
    """Attack the teacher with PGD from the synthetic images and see how each image fares.

    Args:
        problem: teacher, threat model and precision.
        x: synthetic images [N, C, H, W].
        labels: the classes they were made for, [N].
        steps: PGD steps, from a uniformly random start in the ball.
        probabilities: take margins of the softmax instead of the logits.
        generator: draws the start.
        stand_ins: what is asked instead of the teacher; the teacher itself by default.

    Returns:
        margin m_i at the last adversarial image (FERD eq. 1), [N], and the number of steps after which the image was first
        misclassified, `steps` where it never was (eq. 26), [N].
    """
    x = problem.precision.images(x)
    first = torch.full((len(labels),), float(steps), device=x.device)
    taken = 0
    network = problem.teacher if stand_ins is None else stand_ins.of(problem.teacher, x)

    def logits_of(images: Tensor) -> Tensor:
        """And see which are misclassified, so many steps after the start."""
        nonlocal taken
        logits = problem.precision.logits(network, images)
        first[(logits.argmax(dim=1) != labels) & (first > taken)] = taken
        taken += 1
        return logits

    noise = torch.empty_like(x).uniform_(-problem.threat.eps, problem.threat.eps, generator=generator)
    attacked = ascend(
        lambda images: cross_entropy(logits_of(images), labels),
        x,
        eps=problem.threat.eps,
        step=problem.threat.step,
        steps=steps,
        start=x + noise,
    )
    with torch.no_grad():
        last = logits_of(attacked)
    return margin(last.softmax(dim=1) if probabilities else last, labels), first
