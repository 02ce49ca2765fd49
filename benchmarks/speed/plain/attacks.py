"""Signed gradient ascent as the scripts write it: forward, backward, step, project."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrd_bench.attacks.projected_gradient import uniform_start


def climb(
    objective: Callable[[Tensor], Tensor], x: Tensor, start: Tensor, *, eps: float, step: float, steps: int
) -> Tensor:
    """Images [N, C, H, W] after some steps up an objective (-> scalar), within eps of x and in [0, 1].

    The gradient is asked for the images alone, as in the scripts' training.
    """
    current = project(start.detach(), x, eps)
    for _ in range(steps):
        current.requires_grad_()
        with torch.enable_grad():
            loss = objective(current)
        gradient = torch.autograd.grad(loss, [current])[0]
        current = project(current.detach() + step * torch.sign(gradient.detach()), x, eps)
    return current


def project(current: Tensor, x: Tensor, eps: float) -> Tensor:
    """Into the ball and [0, 1]."""
    if math.isfinite(eps):
        current = torch.min(torch.max(current, x - eps), x + eps)
    return torch.clamp(current, 0.0, 1.0)


def pgd(model: nn.Module, x: Tensor, y: Tensor, start: Tensor, *, eps: float, step: float, steps: int) -> Tensor:
    """PGD on cross-entropy by `loss.backward()`, which fills the gradients of the weights too, as RSLAD's evaluation does."""
    return _backward_climb(lambda z: F.cross_entropy(z, y), model, x, start, eps=eps, step=step, steps=steps)


def cw(model: nn.Module, x: Tensor, y: Tensor, start: Tensor, *, eps: float, step: float, steps: int) -> Tensor:
    """PGD on the margin, clipped at confidence 50 (Carlini & Wagner 2017), by `loss.backward()`."""

    def margin(z: Tensor) -> Tensor:
        own = F.one_hot(y, z.shape[1])
        right, other = (own * z).sum(1), ((1 - own) * z - own * 10000.0).max(1)[0]
        return torch.clamp(other - right, max=50.0).sum()

    return _backward_climb(margin, model, x, start, eps=eps, step=step, steps=steps)


def fgsm(model: nn.Module, x: Tensor, y: Tensor, *, eps: float) -> Tensor:
    """One step of eps from the image itself."""
    return pgd(model, x, y, x, eps=eps, step=eps, steps=1)


def from_ball(x: Tensor, eps: float, first: int, seed: int) -> Tensor:
    """The product's random starts of evaluation, of images that begin at a place in the test set."""
    return uniform_start(x, eps, torch.arange(first, first + len(x)), seed)


def _backward_climb(
    objective: Callable[[Tensor], Tensor],
    model: nn.Module,
    x: Tensor,
    start: Tensor,
    *,
    eps: float,
    step: float,
    steps: int,
) -> Tensor:
    current = project(start.detach().clone(), x, eps)
    for _ in range(steps):
        current = current.detach().requires_grad_()
        objective(model(current)).backward()  # type: ignore[no-untyped-call]
        assert current.grad is not None
        current = project(current.detach() + step * torch.sign(current.grad.detach()), x, eps)
    return current.detach()
