"""A network whose passes are replayed answers, and leads an attack, as it does itself."""

from __future__ import annotations

import pytest
import tiny
import torch
from torch import Tensor

from dfrd_bench.attacks.projected_gradient import pgd20
from dfrd_bench.attacks.replays import WORTH, Replays
from dfrd_bench.problem import ThreatModel

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")
CUDA = torch.device("cuda")


def gradient(network: torch.nn.Module, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(network(x).logsumexp(dim=1).sum(), x)[0]


def test_on_a_cpu_it_is_the_network() -> None:
    network = tiny.wide_resnet()
    replays, x = Replays(network), tiny.random_images(5)
    assert not replays.training
    for _ in range(WORTH + 2):
        assert torch.equal(replays(x), network(x))
        assert torch.equal(gradient(replays, x), gradient(network, x))
    assert not replays._graphs


@gpu
def test_answers_and_gradients_are_the_network_s_and_stay_what_they_were() -> None:
    network = tiny.wide_resnet().to(CUDA).requires_grad_(False)
    replays = Replays(network)
    kept = []
    for seed in range(2 * WORTH):
        for size in (7, 4):
            x = tiny.random_images(size, seed=seed).to(CUDA)
            with torch.no_grad():
                logits = replays(x)
            kept.append((x, logits, gradient(replays, x)))
    assert len(replays._graphs) == 4
    for x, logits, slope in kept:
        with torch.no_grad():
            torch.testing.assert_close(logits, network(x))
        torch.testing.assert_close(slope, gradient(network, x), rtol=1e-3, atol=1e-5)


@gpu
def test_a_second_gradient_of_one_pass_is_refused() -> None:
    replays = Replays(tiny.wide_resnet().to(CUDA).requires_grad_(False))
    x = tiny.random_images(6).to(CUDA)
    for _ in range(WORTH + 1):
        gradient(replays, x)
    leaf = x.clone().requires_grad_()
    logits = replays(leaf)
    torch.autograd.grad(logits[:, 0].sum(), leaf, retain_graph=True)
    with pytest.raises(RuntimeError, match="once"):
        torch.autograd.grad(logits[:, 1].sum(), leaf)


@gpu
def test_attacks_break_the_same_images() -> None:
    network = tiny.wide_resnet().to(CUDA).requires_grad_(False)
    x = tiny.random_images(64).to(CUDA)
    y, threat, indices = network(x).argmax(dim=1), ThreatModel(eps=0.1, step=0.02), torch.arange(64)
    replays = Replays(network)
    for _ in range(3):
        found = network(pgd20(replays, x, y, threat=threat, indices=indices, seed=0)).argmax(dim=1)
        expected = network(pgd20(network, x, y, threat=threat, indices=indices, seed=0)).argmax(dim=1)
        assert (found != expected).sum() <= 1
