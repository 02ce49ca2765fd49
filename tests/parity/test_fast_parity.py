"""Fast's pieces give the numbers that its released code gives: both loops, moving statistics, generator, late reset, pool."""

from __future__ import annotations

import pytest
import torch
from dfrd_bench.methods.data_free.fast import Fast, FastConfig
from tiny_networks import OURS_ALONE, fill, gradients, problem, step_losses, stored, weights, with_codes
from torch import nn

from dfrd_bench.distillation.generators import ConvGenerator
from dfrd_bench.distillation.losses import kl
from dfrd_bench.distillation.meta import InnerLoop
from dfrd_bench.distillation.pool import SyntheticPool
from dfrd_bench.distillation.synthesis import SynthesizeThenDistill

RELEASED = stored("fast")
REPTILE_SCALE = 67  # fast_meta.py:20
SMALL = {"epochs": 300, "batch_size": 8, "synthesis_steps": 3, "latent_dim": 5, "generator_width": 4, "crop_padding": 0}


def stepped(model: nn.Module, inner_gradients: torch.Tensor) -> None:
    """Put one step's gradients on a model."""
    used = 0
    for parameter in model.parameters():
        parameter.grad = inner_gradients[used : used + parameter.numel()].view_as(parameter).clone()
        used += parameter.numel()


def small_network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def test_fomaml_adds_up_the_inner_gradients_of_a_given_trajectory() -> None:
    loop = InnerLoop(small_network(), "fomaml")
    for inner in RELEASED["meta/inner_gradients"]:
        stepped(loop.adapted, inner)
        loop.gather()
    loop.finish()
    torch.testing.assert_close(gradients(loop.model), RELEASED["meta/fomaml"])


def test_reptile_has_the_released_direction_and_a_67th_of_its_length() -> None:
    """The factor is for Adam to take out again, which divides a gradient by its own size (`fast_meta.py:20`)."""
    loop = InnerLoop(small_network(), "reptile")
    for model, place in ((loop.model, "meta/start"), (loop.adapted, "meta/end")):
        nn.utils.vector_to_parameters(RELEASED[place], model.parameters())
    loop.finish()
    torch.testing.assert_close(REPTILE_SCALE * gradients(loop.model), RELEASED["meta/reptile"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("rule", "rounds"), [("fomaml", 2), ("reptile", 1)])
def test_rounds_of_synthesis_are_those_of_the_released_synthesizer(rule: str, rounds: int) -> None:
    """Losses of the inner loop, kept images, meta-gradient, the outer step and the BatchNorm statistics that the next round
    starts from; the student's disagreement counts from the second round on.
    """
    method = Fast(problem(RELEASED), FastConfig(**SMALL, meta_rule=rule))
    fill(method.generator, RELEASED[f"{rule}/generator"])
    losses, drawn = step_losses(method), method.generator_canvas
    for count in range(1, rounds + 1):
        at = f"{rule}/round{count}"
        method.generator_canvas = drawn  # type: ignore[method-assign]
        with_codes(method, RELEASED[f"{at}/z"])
        method.adversarial = count == 2
        images, _ = method.synthesize(RELEASED[f"{at}/labels"])
        method.after_synthesis(images, RELEASED[f"{at}/labels"])

        assert losses[-3:] == pytest.approx(RELEASED[f"{at}/losses"].tolist(), rel=1e-4)
        torch.testing.assert_close(images, RELEASED[f"{at}/kept"], rtol=1e-3, atol=1e-3)
        factor = REPTILE_SCALE if rule == "reptile" else 1
        expected = RELEASED[f"{at}/meta_gradient"]
        assert (factor * gradients(method.generator) - expected).norm() < 2e-3 * expected.norm()
        torch.testing.assert_close(weights(method.generator), RELEASED[f"{at}/generator_after"], rtol=1e-3, atol=1e-3)
        assert method.statistics is not None
        past = torch.cat([moment for pair in method.statistics.state_dict()["past"] for moment in pair])
        torch.testing.assert_close(past, RELEASED[f"{at}/mmt"], rtol=1e-3, atol=1e-4)


def test_the_generator_makes_the_released_images_of_the_same_weights() -> None:
    generator = ConvGenerator(5, (3, 8, 8), width=4).train()
    fill(generator, RELEASED["generator/state"])
    torch.testing.assert_close(generator(RELEASED["generator/z"]).detach(), RELEASED["generator/images"])


class TestLateReset:
    def test_it_draws_anew_the_first_linear_layer_and_the_first_batchnorm(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Both weights from N(0, 0.02), also the BatchNorm's, whose usual mean is 1; both biases 0; nothing else moves."""
        monkeypatch.setattr(SynthesizeThenDistill, "train_epoch", lambda self, epoch: {})
        method = Fast(problem(RELEASED), FastConfig(epochs=9, latent_dim=64, generator_width=16, reset_after=2))
        with torch.no_grad():
            for parameter in method.generator.parameters():
                parameter.fill_(3.0)
        for epoch in range(method.fast.warmup_epochs + 4):
            method.train_epoch(epoch)
        compared = [(n, p.detach()) for n, p in method.generator.named_parameters() if n not in OURS_ALONE]
        changed = [n for n, p in compared if not torch.all(p == 3)]
        released = [n for (n, _), moved in zip(compared, RELEASED["reset/changed"], strict=True) if moved]
        assert changed == released == ["linear.weight", "linear.bias", "bn0.weight", "bn0.bias"]
        for (_, p), mean, std in zip(compared, RELEASED["reset/mean"], RELEASED["reset/std"], strict=True):
            assert float(p.mean()) == pytest.approx(float(mean), abs=0.015)
            assert float(p.std(correction=0)) == pytest.approx(float(std), abs=0.01)

    def test_it_comes_one_round_later_than_released_and_so_does_the_disagreement(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The released synthesizer counts its rounds from 1 and compares them with numbers of epochs, which count from 0
        (`fast_meta.py:105-110, 144`): the student's disagreement counts there in the last round before the student is
        trained at all. Ours counts both from the first epoch in which the student is trained.
        """
        monkeypatch.setattr(SynthesizeThenDistill, "train_epoch", lambda self, epoch: {})

        def behaviour(warmup: int) -> tuple[list[int], list[int]]:
            method = Fast(problem(RELEASED), FastConfig(**SMALL, warmup_epochs=warmup))
            resets, adversarial = [], []
            for epoch in range(warmup + 125):
                before = weights(method.generator)
                method.train_epoch(epoch)
                if not torch.equal(before, weights(method.generator)):
                    resets.append(epoch)
                if method.adversarial:
                    adversarial.append(epoch)
            return resets, adversarial

        released_reset = int(RELEASED["reset/call"]) - 1  # the first call is epoch 0; warm-up 2
        assert released_reset == 2 + 120 - 1
        assert behaviour(2)[0] == [released_reset + 1]
        released_first = RELEASED["adversarial/on"].tolist().index(True)  # warm-up 4
        assert released_first == 4 - 1
        assert behaviour(4)[1][0] == released_first + 1


def test_distillation_at_temperature_20_is_scaled_by_400() -> None:
    ours = kl(RELEASED["kldiv/teacher"], RELEASED["kldiv/student"], temperature=FastConfig(epochs=1).temperature)
    torch.testing.assert_close(ours, RELEASED["kldiv/T20"])


def test_the_pool_is_drawn_in_shuffled_passes_and_every_batch_is_full() -> None:
    """The released loader ends each pass with a short batch, 4 + 4 + 2 of 10 images; ours goes on into the next pass."""
    released = RELEASED["pool/drawn"].tolist()
    assert sorted(released[:10]) == sorted(released[10:]) == list(range(10))
    pool = SyntheticPool(10, (1, 1, 1), torch.device("cpu"))
    pool.add(torch.zeros(10, 1, 1, 1), torch.arange(10))
    generator = torch.Generator().manual_seed(0)
    batches = [pool.draw(4, generator)[1].tolist() for _ in range(5)]
    assert [len(batch) for batch in batches] == [4] * 5
    drawn = [label for batch in batches for label in batch]
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
