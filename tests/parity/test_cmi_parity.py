"""CMI's pieces give the numbers that its released code gives: BatchNorm hooks, memory bank, contrastive loss, distillation."""

from __future__ import annotations

import math

import pytest
import torch
from dfrd_bench.methods.data_free.cmi import CMI, CMIConfig
from tiny_networks import fill, gradients, problem, step_losses, stored, weights, with_codes

from dfrd_bench.distillation.batchnorm import BatchNormStatistics, InstanceMeans
from dfrd_bench.distillation.contrastive import MemoryBank
from dfrd_bench.distillation.conversion import PlainDistillation
from dfrd_bench.distillation.pool import SyntheticPool
from dfrd_bench.problem import Problem

CPU = torch.device("cpu")
RELEASED = stored("cmi")
HALF = {"rtol": 2e-3, "atol": 1e-3}  # our bank's precision


@pytest.fixture
def tiny_problem() -> Problem:
    return problem(RELEASED)


def test_l_bn_and_its_gradient_are_those_of_the_released_hook(tiny_problem: Problem) -> None:
    """‖μ − μ_l‖₂ + ‖σ² − σ²_l‖₂ per layer, none squared, with the biased variance: an unbiased one is told apart."""
    statistics = BatchNormStatistics(tiny_problem.teacher, "this test")
    x = RELEASED["hooks/x"].clone().requires_grad_()
    with statistics.record():
        tiny_problem.teacher(x)
    distance = statistics.distance()
    distance.backward()
    torch.testing.assert_close(distance.detach(), RELEASED["hooks/r_feature"].sum())
    torch.testing.assert_close(x.grad, RELEASED["hooks/gradient"], rtol=1e-4, atol=1e-6)
    layer, (mean, variance) = statistics.measured()[0]
    unbiased = variance * 384 / 383  # 6 images of 8x8 pixels
    other = (mean - layer.running_mean).norm() + (unbiased - layer.running_var).norm()
    assert abs(float(other.detach() - RELEASED["hooks/r_feature"][0])) > 1e-5


def test_instance_features_are_the_channel_means_at_the_inputs_of_batchnorm(tiny_problem: Problem) -> None:
    means = InstanceMeans(tiny_problem.teacher, "this test")
    with means.record(), torch.no_grad():
        tiny_problem.teacher(RELEASED["hooks/x"])
    torch.testing.assert_close(means.features(), RELEASED["hooks/instance_means"])


def test_the_bank_fills_up_and_then_overwrites_its_oldest_rows_in_place() -> None:
    bank = MemoryBank(6, 4, CPU)
    for count, batch in enumerate(RELEASED["bank/batches"], 1):
        bank.add(batch)
        torch.testing.assert_close(bank.vectors[: len(bank)].float(), RELEASED[f"bank/after{count}"], **HALF)


def test_a_bank_that_is_exactly_full_is_drawn_from_here_and_not_there() -> None:
    """The released bank compares with > where it means >= (`contrastive.py:158`): in the one round in which it is exactly full
    it hands out nothing, the mean over nothing is NaN, and so is the loss; the images of that round's first step are kept.
    That is an oversight, which we do not repeat.
    """
    bank, drawn = MemoryBank(6, 4, CPU), []
    for batch in RELEASED["bank/batches"]:
        bank.add(batch)
        drawn.append(len(bank.draw(6, torch.Generator().manual_seed(0))))
    assert [int(RELEASED[f"bank/drawn{count}"]) for count in (1, 2, 3, 4)] == [2, 4, 0, 6]
    assert drawn == [2, 4, 6, 6]
    assert math.isnan(RELEASED["round3/loss"])


def test_two_rounds_of_synthesis_have_the_released_losses_gradients_and_memory(tiny_problem: Problem) -> None:
    """All terms at once; the bank is empty in the first round, and holds that round's batch in the second, when the head has
    learnt. Views are the images and, local, the images upside down, here and there; rounds have one step.
    """
    settings = {"epochs": 2, "batch_size": 8, "synthesis_steps": 1, "latent_dim": 5, "generator_width": 4}
    method = CMI(tiny_problem, CMIConfig(**settings, reinitialise=False, head_dim=7))
    method.global_view = lambda images: images  # type: ignore[method-assign]
    method.local_view = lambda images: images.flip(2)  # type: ignore[method-assign]
    tiny_problem.student.eval()
    instances = method.discrimination
    assert instances is not None
    fill(instances.head, RELEASED["round1/head"])
    losses, drawn, of_head, step = step_losses(method), method.generator_canvas, [], method.on_gradients
    method.on_gradients = lambda: (of_head.append(gradients(instances.head)), step())[1]  # type: ignore[method-assign]
    for at in ("round1", "round2"):
        labels = RELEASED[f"{at}/labels"]
        fill(method.generator, RELEASED[f"{at}/generator"])
        method.generator_canvas = drawn  # type: ignore[method-assign]
        with_codes(method, RELEASED[f"{at}/z"])
        images, _ = method.synthesize(labels)
        method.after_synthesis(images, labels)

        assert losses[-1] == pytest.approx(float(RELEASED[f"{at}/loss"]), rel=1e-4)
        torch.testing.assert_close(images, RELEASED[f"{at}/images"])
        torch.testing.assert_close(
            gradients(method.generator), RELEASED[f"{at}/generator_gradient"], rtol=2e-3, atol=2e-5
        )
        torch.testing.assert_close(of_head[-1], RELEASED[f"{at}/head_gradient"], **HALF)
        torch.testing.assert_close(weights(instances.head), RELEASED[f"{at}/head_after"], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(
            instances.bank.vectors[: len(instances.bank)].float(), RELEASED[f"{at}/bank_after"], **HALF
        )


@pytest.mark.parametrize("temperature", [1, 20])
def test_distillation_is_kl_times_the_squared_temperature(temperature: int) -> None:
    logits = RELEASED["kldiv/student"].clone().requires_grad_()
    distil = PlainDistillation(float(temperature))
    loss = distil(torch.nn.Identity(), logits, RELEASED["kldiv/teacher"], torch.Generator())["student"]
    loss.backward()
    torch.testing.assert_close(loss.detach(), RELEASED[f"kldiv/T{temperature}"])
    torch.testing.assert_close(logits.grad, RELEASED[f"kldiv/T{temperature}/gradient"], rtol=1e-4, atol=1e-6)


def test_the_pool_rounds_to_256_levels_where_the_released_one_cuts_off() -> None:
    """Its PNG files hold floor(255 x) (`_utils.py:91`), which darkens every image by half a level; ours the nearest level."""
    images, cut = RELEASED["pool/images"], RELEASED["pool/stored"]
    pool = SyntheticPool(2, (3, 4, 4), CPU)
    pool.add(images, torch.zeros(2, dtype=torch.int64))
    assert torch.equal(cut, (255 * images).floor().to(torch.uint8))
    assert set((pool.images.int() - cut.int()).unique().tolist()) == {0, 1}
    assert (pool.images.float() - 255 * images).abs().max() <= 0.5
