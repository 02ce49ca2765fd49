"""Divergences written with torch.nn.functional, in float32 whatever the logits are in."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def kl(target: Tensor, other: Tensor, reduction: str = "batchmean") -> Tensor:
    """KL(softmax(target), softmax(other)): logits [N, K] twice -> scalar, or [N, K] for reduction "none"."""
    return F.kl_div(F.log_softmax(other.float(), dim=1), F.softmax(target.float(), dim=1), reduction=reduction)


def kl_from_uniform(logits: Tensor, reduction: str = "batchmean") -> Tensor:
    """KL(U, softmax(logits)) (FERD eq. 7): [N, K] -> scalar, or [N, K]."""
    uniform = torch.full_like(logits, 1 / logits.shape[1], dtype=torch.float32)
    return F.kl_div(F.log_softmax(logits.float(), dim=1), uniform, reduction=reduction)


def masked_kl(teacher: Tensor, student: Tensor) -> Tensor:
    """KL(f^T, f^S) where both name the same class (Fang et al. 2021): [N, K] twice -> scalar."""
    mask = (teacher.max(1)[1] == student.max(1)[1]).float()
    return (kl(teacher, student, reduction="none").sum(dim=1) * mask).mean()


def jensen_shannon(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """½·KL(p, m) + ½·KL(q, m), m = (p + q)/2 (Yin et al. 2020): [N, K] twice -> scalar."""
    p = F.softmax(one.float() / temperature, dim=1)
    q = F.softmax(other.float() / temperature, dim=1)
    log_m = ((p + q) / 2).log()
    return (F.kl_div(log_m, p, reduction="batchmean") + F.kl_div(log_m, q, reduction="batchmean")) / 2


def decoupled_kl(teacher: Tensor, student: Tensor) -> Tensor:
    """Decoupled KL over all pairs of classes, weights from softmax(z^T/100): [N, K] twice -> scalar."""
    teacher, student = teacher.float(), student.float()
    ours = student[:, :, None] - student[:, None, :]  # [N, K, K]
    theirs = teacher[:, :, None] - teacher[:, None, :]
    share = F.softmax(teacher / 100, dim=1)
    weight = share[:, :, None] @ share[:, None, :]
    squared = 0.25 * ((theirs - ours).pow(2) * weight).sum() / weight.sum()
    soft = -(F.softmax(teacher, dim=1).detach() * F.log_softmax(student, dim=1)).sum(dim=1).mean()
    return squared + soft


def total_variation(x: Tensor) -> Tensor:
    """Norms of the differences between neighbours, in four directions (Yin et al. 2020): [N, C, H, W] -> scalar."""
    across, down = x[:, :, :, :-1] - x[:, :, :, 1:], x[:, :, :-1, :] - x[:, :, 1:, :]
    falling, rising = x[:, :, 1:, :-1] - x[:, :, :-1, 1:], x[:, :, :-1, :-1] - x[:, :, 1:, 1:]
    total: Tensor = torch.norm(across) + torch.norm(down) + torch.norm(falling) + torch.norm(rising)
    return total
