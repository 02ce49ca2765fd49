"""DFHL's pieces give the numbers that its released code gives: losses, synthesis, high-entropy examples, augmentation."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from dfrd_bench.methods.data_free.dfhl import DFHL, DFHLConfig
from tiny_networks import fill, problem, step_losses, stored, weights, with_codes
from torch import Tensor

from dfrd_bench.distillation.adversaries import EntropyAscent
from dfrd_bench.distillation.losses import entropy_per_image, imbalance, smoothed_cross_entropy
from dfrd_bench.distillation.views import zoom_and_rotate

RELEASED = stored("dfhl")
DEFAULT = DFHLConfig(epochs=1)


def entropy_of_smooth_labels(smoothing: float, classes: int) -> float:
    """H of 1 − s on one class and s/(K − 1) on the others."""
    return -(1 - smoothing) * math.log(1 - smoothing) - smoothing * math.log(smoothing / (classes - 1))


@pytest.mark.parametrize("smoothing", [0.2, 0.02])
def test_smoothed_cross_entropy_has_the_released_gradient_and_a_constant_more(smoothing: float) -> None:
    """Released code takes KL of the smooth labels from the prediction (`losses.py:6-8`), that is the cross-entropy less the
    labels' own entropy, which moves nothing.
    """
    logits = RELEASED["losses/logits"].clone().requires_grad_()
    loss = smoothed_cross_entropy(logits, RELEASED["losses/labels"], smoothing)
    loss.backward()
    constant = entropy_of_smooth_labels(smoothing, 10)
    assert float(loss.detach()) - constant == pytest.approx(float(RELEASED[f"losses/cls{smoothing}"]), rel=1e-5)
    torch.testing.assert_close(logits.grad, RELEASED[f"losses/cls{smoothing}/gradient"], rtol=1e-4, atol=1e-6)


def test_imbalance_has_the_released_value_and_gradient() -> None:
    logits = RELEASED["losses/logits"].clone().requires_grad_()
    loss = imbalance(logits)
    loss.backward()
    torch.testing.assert_close(loss.detach(), RELEASED["losses/div"])
    torch.testing.assert_close(logits.grad, RELEASED["losses/div/gradient"], rtol=1e-4, atol=1e-6)


def test_entropy_has_the_released_values() -> None:
    torch.testing.assert_close(entropy_per_image(RELEASED["losses/logits"]), RELEASED["losses/entropy"])


def test_two_rounds_of_synthesis_are_those_of_the_released_function() -> None:
    """Losses (less the constant), kept images and the generator, which goes on from the first round to the second."""
    sizes = {"batch_size": 8, "synthesis_steps": 3, "latent_dim": 5, "generator_width": 4, "crop_padding": 0}
    method = DFHL(problem(RELEASED), DFHLConfig(epochs=2, **sizes))
    fill(method.generator, RELEASED["round1/generator"])
    losses, drawn, constant = step_losses(method), method.generator_canvas, entropy_of_smooth_labels(0.2, 4)
    for at in ("round1", "round2"):
        method.generator_canvas = drawn  # type: ignore[method-assign]
        with_codes(method, RELEASED[f"{at}/z"])
        images, _ = method.synthesize(RELEASED[f"{at}/labels"])
        assert [loss - constant for loss in losses[-3:]] == pytest.approx(RELEASED[f"{at}/losses"].tolist(), rel=1e-4)
        torch.testing.assert_close(images, RELEASED[f"{at}/kept"], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(weights(method.generator), RELEASED[f"{at}/generator_after"], rtol=1e-3, atol=1e-3)


class TestHighEntropyExamples:
    def ours(self, steps: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, Any]:
        tiny = problem({**RELEASED, "student": RELEASED["hee/student"]})
        tiny.student.train()
        monkeypatch.setattr(torch, "randn", lambda *_, **__: RELEASED["hee/noise"])
        ascent = EntropyAscent(problem=tiny, steps=steps, step=DEFAULT.attack_step)
        return ascent(tiny.student, RELEASED["hee/x"], torch.Generator()), tiny.student

    def test_one_step_goes_where_the_released_one_goes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Ours cuts the start to [0, 1], theirs only what follows: on black and white pixels some noise is left over."""
        ours, _ = self.ours(1, monkeypatch)
        x, noise, theirs = RELEASED["hee/x"], RELEASED["hee/noise"], RELEASED["hee/after1"]
        inside = ((x + 0.001 * noise) >= 0) & ((x + 0.001 * noise) <= 1)
        assert (~inside).sum() > 5
        assert ((ours - theirs).abs() < 1e-5)[inside].float().mean() > 0.99
        assert (ours - theirs).abs()[~inside].max() <= 0.001 * noise.abs().max() + 1e-6
        assert (ours - theirs).abs()[~inside].max() > 1e-4

    def test_ten_steps_reach_the_released_entropies(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ours, student = self.ours(10, monkeypatch)
        assert DEFAULT.attack_steps == 10
        with torch.no_grad():
            entropy = entropy_per_image(student.eval()(ours))
        assert torch.all(RELEASED["hee/entropy_after"] > RELEASED["hee/entropy_before"] + 0.3)
        torch.testing.assert_close(entropy, RELEASED["hee/entropy_after"], rtol=5e-3, atol=0)
        assert ((ours - RELEASED["hee/examples"]).abs() < 2e-3).float().mean() > 0.95


class TestStrongAugmentation:
    """The released one draws once for a whole batch and resamples twice, ours for every image and once."""

    @staticmethod
    def turned(degrees: float = 0.0, kept: float = 1.0) -> Tensor:
        return zoom_and_rotate(
            RELEASED["strong/image"],
            crop=(kept, kept),
            degrees=(degrees,),
            flip=False,
            generator=torch.Generator().manual_seed(0),
        )

    def test_nothing_drawn_changes_nothing(self) -> None:
        torch.testing.assert_close(self.turned(), RELEASED["strong/identity"], rtol=0, atol=1e-5)

    def test_flips_are_the_released_ones_up_down_and_left_right_independently(self) -> None:
        up_down, left_right = RELEASED["strong/up_down"], RELEASED["strong/left_right"]
        candidates = torch.cat([RELEASED["strong/identity"], up_down, left_right, up_down.flip(3)])
        many = RELEASED["strong/image"].expand(64, -1, -1, -1)
        ours = zoom_and_rotate(many, crop=(1, 1), degrees=(0,), generator=torch.Generator().manual_seed(0))
        distance = (ours[:, None] - candidates[None]).abs().amax(dim=(2, 3, 4))
        assert distance.amin(dim=1).max() < 1e-5
        assert set(distance.argmin(dim=1).tolist()) == {0, 1, 2, 3}

    @pytest.mark.parametrize("degrees", [15, -15])
    def test_rotation_has_the_released_sense_and_black_corners(self, degrees: int) -> None:
        """To the pixel only nearly: released code takes the nearest pixel, ours interpolates."""
        assert degrees in RELEASED["strong/angles"].tolist()
        released, other = RELEASED[f"strong/rotated{degrees}"], RELEASED[f"strong/rotated{-degrees}"]
        ours = self.turned(degrees)
        assert (ours - released).abs().median() < 0.015
        assert (ours - released).abs().mean() < 0.25 * (ours - other).abs().mean()
        black = released == 0
        assert 0.02 < black.float().mean() < 0.2
        assert ours[black].median() < 0.05

    def test_a_crop_to_30_of_32_pixels_is_the_released_one_but_for_the_rim(self) -> None:
        """Beyond the crop ours sees the image's own pixels, where the released one repeats its last. It can keep only 30 or 31
        pixels (`dataset.py:11-14` rounds down), and 31 lie half a pixel off the centre; ours keeps any share, centred.
        """
        ours, released = self.turned(kept=30 / 32), RELEASED["strong/cropped30"]
        torch.testing.assert_close(ours[..., 1:-1, 1:-1], released[..., 1:-1, 1:-1], rtol=0, atol=1e-4)
        off_centre = self.turned(kept=31 / 32) - RELEASED["strong/cropped31"]
        assert off_centre[..., 1:-1, 1:-1].abs().max() > 1e-3

    def test_its_numbers_are_our_defaults(self) -> None:
        assert RELEASED["strong/angles"].tolist() == [-DEFAULT.strong_degrees, 0, DEFAULT.strong_degrees]
        assert float(RELEASED["strong/noise_std"]) == pytest.approx(DEFAULT.strong_noise, rel=0.1)
