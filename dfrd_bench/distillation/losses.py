"""Divergences, entropies and image priors that methods add up, and the check that every loss stays finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from dfrd_bench.errors import DfrdBenchError

FAR_STEPS = 50  # on a GPU, between two looks at whether losses are finite
Reduction = Literal["batchmean", "mean"]


def log_probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """log softmax(z/T), in float32 at least, whatever the logits are in: [N, K] -> [N, K]."""
    return F.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature, dim=1)


def kl_per_image(p_logits: Tensor, q_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(p, q) = Σ_k p_k log(p_k / q_k) per image, in float32: logits [N, K], [N, K] -> [N]."""
    log_p = log_probabilities(p_logits, temperature)
    log_q = log_probabilities(q_logits, temperature)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1)


def kl(
    p_logits: Tensor,
    q_logits: Tensor,
    *,
    temperature: float = 1.0,
    reduction: Reduction = "batchmean",
    weights: Tensor | None = None,
) -> Tensor:
    """KL(p, q) as a scalar, times temperature² so that its gradients keep their size (Hinton et al. 2015).

    Args:
        p_logits: the target's logits [N, K].
        q_logits: the approximation's logits [N, K].
        temperature: divides both logits.
        reduction: "batchmean" averages over images; "mean" over images and classes, as RSLAD's released code does.
        weights: by which each image's divergence is multiplied before, [N]; all 1 when None.
    """
    per_image = kl_per_image(p_logits, q_logits, temperature)
    value = (per_image if weights is None else weights * per_image).mean() * temperature**2
    return value / p_logits.shape[1] if reduction == "mean" else value


def kl_from_uniform_per_image(logits: Tensor) -> Tensor:
    """KL(U, f) = −log K − mean_k log f_k per image (FERD eq. 7 and 10): [N, K] -> [N]; 0 where f is uniform."""
    log_f = log_probabilities(logits)
    return -log_f.mean(dim=1) - math.log(logits.shape[1])


def decoupled_kl(p_logits: Tensor, q_logits: Tensor, class_weights: Tensor) -> Tensor:
    """Decoupled KL (Cui et al. 2024), as FERD's released code uses it: logits [N, K] twice, weights [N, K] -> scalar.

    ¼·Σ_ij w_ij (Δ_i − Δ_j)² / Σ_ij w_ij + soft cross-entropy, with Δ = p_logits − q_logits and w_ij = s_i·s_j. The squared
    part equals ½·Var_s(Δ), so it vanishes for one-hot weights and the gradient in q is then that of `kl`. As released, the
    cross-entropy sends no gradient to p (its `losses.py:54-60`); the weights send theirs, if they have one.
    """
    difference = p_logits.float() - q_logits.float()
    s = class_weights / class_weights.sum(dim=1, keepdim=True)
    mean = (s * difference).sum(dim=1, keepdim=True)
    squared = (s * (difference - mean).square()).sum(dim=1) / 2
    soft_cross_entropy = -(p_logits.float().softmax(dim=1).detach() * log_probabilities(q_logits)).sum(dim=1)
    return (squared + soft_cross_entropy).mean()


def js(p_logits: Tensor, q_logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Jensen-Shannon divergence ½·KL(p, m) + ½·KL(q, m), m = (p + q)/2, over images: [N, K] twice -> scalar in [0, log 2].

    As in Yin et al. 2020 (R_compete). Their released code has m and p the other way round and clips probabilities to
    [0.01, 0.99], which leaves no gradient for most classes once there are a hundred.
    """
    log_p = log_probabilities(p_logits, temperature)
    log_q = log_probabilities(q_logits, temperature)
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    return ((log_p.exp() * (log_p - log_m)).sum(dim=1) + (log_q.exp() * (log_q - log_m)).sum(dim=1)).mean() / 2


def kl_where_agreed(teacher: Tensor, student: Tensor) -> Tensor:
    """KL(f^T, f^S) of the images that both put into the same class, over all images: logits [N, K] twice -> scalar.

    The adversarial term of CMI and FastDFKD (Fang et al. 2021, 2022): driving apart what already disagrees teaches nothing.
    """
    agreed = teacher.argmax(dim=1) == student.argmax(dim=1)
    return torch.where(agreed, kl_per_image(teacher, student), 0.0).mean()


def entropy_per_image(logits: Tensor) -> Tensor:
    """−Σ_k p_k log p_k of the softmax: [N, K] -> [N]."""
    log_p = log_probabilities(logits)
    return -(log_p.exp() * log_p).sum(dim=1)


def imbalance(logits: Tensor) -> Tensor:
    """Σ_k p̄_k log₁₀ p̄_k, p̄ the mean prediction of the batch: [N, K] -> scalar, least when all classes are equally frequent."""
    mean = logits.float().softmax(dim=1).mean(dim=0)
    return (mean * mean.clamp(min=torch.finfo(mean.dtype).tiny).log10()).sum()


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy to 1 − smoothing on the label and smoothing/(K − 1) on every other class: [N, K], [N] -> scalar.

    Not `F.cross_entropy(label_smoothing=...)`, which spreads the smoothing over all K classes.
    """
    log_p = log_probabilities(logits)
    on_label = log_p.gather(1, labels[:, None])[:, 0]
    others = (log_p.sum(dim=1) - on_label) / (logits.shape[1] - 1)
    return -((1 - smoothing) * on_label + smoothing * others).mean()


def total_variation(x: Tensor) -> Tensor:
    """Σ of the norms ‖·‖₂ of a batch's differences between neighbours: across, down and both diagonals (Yin et al. 2020).

    [N, C, H, W] -> scalar.
    """
    differences = (
        x[..., :, 1:] - x[..., :, :-1],
        x[..., 1:, :] - x[..., :-1, :],
        x[..., 1:, 1:] - x[..., :-1, :-1],
        x[..., 1:, :-1] - x[..., :-1, 1:],
    )
    return torch.stack([torch.linalg.vector_norm(d.float()) for d in differences]).sum()


def rslad(
    teacher: Tensor,
    student_clean: Tensor,
    student_adversarial: Tensor,
    *,
    adversarial_weight: float = 5 / 6,
    reduction: Reduction = "batchmean",
    weights: Tensor | None = None,
) -> Tensor:
    """w·KL(f^T(x), f^S(x_adv)) + (1 − w)·KL(f^T(x), f^S(x)) (Zi et al. 2021; FERD A.8): logits [N, K] each -> scalar.

    With weights [N] each image's divergences are multiplied by its own, as `kl` does.
    """
    adversarial = kl(teacher, student_adversarial, reduction=reduction, weights=weights)
    clean = kl(teacher, student_clean, reduction=reduction, weights=weights)
    return adversarial_weight * adversarial + (1 - adversarial_weight) * clean


def total_loss(terms: Mapping[str, Tensor], where: str) -> Tensor:
    """The sum of named loss terms, seen to be finite at once; over many steps see `FiniteLosses`.

    Args:
        terms: scalars, already weighted.
        where: the stage, for the error message.

    Raises:
        DfrdBenchError: the sum is NaN or infinite; the message names the term.
    """
    watch = FiniteLosses()
    total = watch.total(terms, where)
    watch.check()
    return total


def backward(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Go back from the sum of named loss terms, scalars, already weighted; returns them without a graph.

    Raises:
        DfrdBenchError: they are something else.
    """
    _stacked(terms).sum().backward()  # type: ignore[no-untyped-call]
    return {name: term.detach() for name, term in terms.items()}


def _stacked(terms: Mapping[str, Tensor]) -> Tensor:
    """Named scalars as one tensor in float32, [terms].

    Raises:
        DfrdBenchError: they are something else, as a method's author may have written.
    """
    if not isinstance(terms, Mapping):
        found = f"a {type(terms).__name__}"
    elif odd := [one for one in terms.items() if not isinstance(one[1], Tensor) or one[1].ndim]:
        name, term = odd[0]
        found = f"{name!r}: {f'Tensor {list(term.shape)}' if isinstance(term, Tensor) else repr(term)}"
    elif not terms:
        found = "an empty one"
    else:
        return torch.stack([term.float() for term in terms.values()])
    raise DfrdBenchError(f"Loss terms must be a dict of tensors with one number each, by name, not {found}.")


class FiniteLosses:
    """Sums of loss terms, all of which must be finite: on a CPU seen at once, on a GPU in one look at many steps.

    A look waits for the GPU, which every step would then do. Before its state is saved a `Distiller` looks as well.

    Args:
        steps: between two looks; by default 1 on a CPU, elsewhere `FAR_STEPS`.
    """

    def __init__(self, steps: int | None = None) -> None:
        self.steps = steps
        self._unseen: list[tuple[str, tuple[str, ...], Tensor]] = []

    def total(self, terms: Mapping[str, Tensor], where: str) -> Tensor:
        """The sum of named scalars, already weighted, of a step of a stage.

        Raises:
            DfrdBenchError: a sum since the last look is NaN or infinite; the message names the first such term. Or they are not
                named scalars.
        """
        values = _stacked(terms)
        self._unseen.append((where, tuple(terms), values.detach()))
        if len(self._unseen) >= (self.steps or (1 if values.device.type == "cpu" else FAR_STEPS)):
            self.check()
        return values.sum()

    def check(self) -> None:
        """Look at what has not been looked at yet.

        Raises:
            DfrdBenchError: as `total`.
        """
        unseen, self._unseen = self._unseen, []
        sums = torch.stack([values.sum() for _, _, values in unseen]) if unseen else torch.zeros(1)
        if torch.isfinite(sums).all():
            return
        where, names, values = unseen[int((~torch.isfinite(sums)).nonzero()[0])]
        bad = [name for name, value in zip(names, values.tolist(), strict=True) if not math.isfinite(value)] or names
        raise DfrdBenchError(
            f"Loss term {', '.join(bad)} became {values.sum().item()} in the {where} stage: "
            "lower a learning rate or that term's weight. The last good checkpoint is kept."
        )
