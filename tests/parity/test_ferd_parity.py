"""FERD's pieces against numbers that its authors' released code gave on the same tensors (README.md says which lines)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from closed_form import fill
from numpy.typing import NDArray
from stored_case import Stored, close, feed_noise, gradients, stored
from torch import Tensor, nn
from torch.nn import functional as F

from dfrd_bench.distillation.batchnorm import BatchNormStatistics
from dfrd_bench.distillation.bottleneck import Bottleneck, compression
from dfrd_bench.distillation.losses import decoupled_kl, kl_from_uniform_per_image, rslad
from dfrd_bench.evaluation.metrics import metrics

CLASSES = 5
RELEASED = Bottleneck(penalty="half-mean", ceiling="batch", noise="channel", variance="unbiased")


@pytest.fixture(scope="module")
def pieces() -> Stored:
    return stored("ferd.npz")


class TestBottleneck:
    """25 steps of models/IFP.py on features [6, 6, 4, 4], with the noise it drew."""

    @staticmethod
    def head(pieces: Stored) -> Callable[[Tensor], Tensor]:
        return lambda z: F.linear(F.relu(z).mean(dim=(2, 3)), pieces["fc_weight"], pieces["fc_bias"])

    def scale(self, pieces: Stored, bottleneck: Bottleneck, monkeypatch: pytest.MonkeyPatch) -> Tensor:
        feed_noise(monkeypatch, pieces["noise32"])
        bottleneck = replace(bottleneck, steps=len(pieces["noise32"]))
        return bottleneck.noise_scale(self.head(pieces), pieces["features"], pieces["labels"], torch.Generator())

    def test_noise_is_drawn_once_for_each_image_and_channel(
        self, pieces: Stored, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = feed_noise(monkeypatch, pieces["noise32"])
        bottleneck = replace(RELEASED, steps=3)
        bottleneck.noise_scale(self.head(pieces), pieces["features"], pieces["labels"], torch.Generator())
        assert [math.prod(shape) for shape in asked] == [6 * 6] * 3

    def test_noise_scale_is_theirs(self, pieces: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
        """Their loss is a mean over images, ours a sum: Adam's steps differ only through its 1e-8."""
        assert close(self.scale(pieces, RELEASED, monkeypatch), pieces["scale"], 1e-4)

    @pytest.mark.parametrize("change", [{"variance": "biased"}, {"penalty": "sum"}])
    def test_our_defaults_and_the_papers_sum_give_other_scales(
        self, change: dict[str, str], pieces: Stored, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Biased variance is ours for `ferd` (the paper does not say); the sum over channels is eq. 5's."""
        ours = replace(RELEASED, **change)  # type: ignore[arg-type]
        assert not close(self.scale(pieces, ours, monkeypatch), pieces["scale"], 1e-2)

    def test_mask_is_theirs_and_mixed(self, pieces: Stored) -> None:
        found = RELEASED.non_robust(pieces["scale"], pieces["features"])[:, :, 0, 0]
        assert torch.equal(found, pieces["non_robust"].float())
        assert 0 < found.mean() < 1

    def test_ceiling_of_the_image_as_in_eq_6_calls_fewer_channels_non_robust(self, pieces: Stored) -> None:
        """`ferd` compares with the largest variance of the same image; theirs, models/IFP.py:59-61, of the whole batch."""
        image = replace(RELEASED, ceiling="image").non_robust(pieces["scale"], pieces["features"])[:, :, 0, 0]
        theirs = pieces["non_robust"].float()
        assert (image <= theirs).all()
        assert image.sum() < theirs.sum()

    def test_compression_is_theirs_with_a_constant_channel_too(self, pieces: Stored) -> None:
        features, scale = pieces["features"].clone(), pieces["compression_scale"].clone().requires_grad_()
        features[0, 0] = 1.5
        value = compression(features.var(dim=(2, 3)), scale, "half-mean").mean()
        assert close(value, pieces["compression"])
        assert close(gradients(value, scale)[0], pieces["compression_gradient"])

    def test_uniformity_is_theirs_and_reaches_the_features_through_the_mask(self, pieces: Stored) -> None:
        features = pieces["features"].clone().requires_grad_()
        logits = self.head(pieces)(features * pieces["non_robust"][:, :, None, None])
        assert close(logits, pieces["non_robust_logits"])
        value = kl_from_uniform_per_image(logits).mean()
        assert close(value, pieces["uniformity"])
        assert close(gradients(value, features)[0], pieces["uniformity_gradient"])


class TestDecoupledKL:
    """losses.py:44-61: value, and gradients of teacher's and student's logits."""

    @pytest.fixture
    def logits(self, pieces: Stored) -> tuple[Tensor, Tensor]:
        return pieces["teacher_logits"].clone().requires_grad_(), pieces["student_logits"].clone().requires_grad_()

    def test_of_the_generator_with_the_teachers_weights_attached(
        self, pieces: Stored, logits: tuple[Tensor, Tensor]
    ) -> None:
        teacher, student = logits
        value = decoupled_kl(teacher, student, (teacher / 100).softmax(dim=1))
        of_teacher, of_student = gradients(value, teacher, student)
        assert close(value, pieces["dkl"])
        assert close(of_student, pieces["dkl_student_gradient"])
        assert close(of_teacher, pieces["dkl_teacher_gradient"])

    def test_of_the_student_sends_nothing_to_the_teacher(self, pieces: Stored, logits: tuple[Tensor, Tensor]) -> None:
        teacher, student = logits
        value = decoupled_kl(teacher, student, F.one_hot(pieces["labels"], CLASSES).float())
        of_teacher, of_student = gradients(value, teacher, student)
        assert close(value, pieces["prior_dkl"])
        assert close(of_student, pieces["prior_dkl_student_gradient"])
        assert not of_teacher.any()
        assert not pieces["prior_dkl_teacher_gradient"].any()

    def test_released_student_loss_has_the_gradients_of_kl_with_a_sixth_on_adversarial_images(
        self, pieces: Stored, logits: tuple[Tensor, Tensor]
    ) -> None:
        """test.py:140-144 takes "decoupled KL" with one-hot priors; ours takes KL, which differs by a constant."""
        teacher, clean = logits
        adversarial = pieces["student_logits_adversarial"].clone().requires_grad_()
        value = rslad(teacher.detach(), clean, adversarial, adversarial_weight=1 / 6)
        of_clean, of_adversarial = gradients(value, clean, adversarial)
        assert close(of_clean, pieces["student_loss_clean_gradient"])
        assert close(of_adversarial, pieces["student_loss_adversarial_gradient"])


def test_batchnorm_distance_of_a_layer_is_theirs(pieces: Stored) -> None:
    """networks/deepinversion.py:89-105: L2 norms, biased variance, no moving average."""
    model, x = fill(nn.Sequential(nn.BatchNorm2d(6)), seed=2), pieces["features"].clone().requires_grad_()
    statistics = BatchNormStatistics(model, "the test")
    with statistics.record():
        model(x)
    (gradient,) = gradients(statistics.distance(), x)
    assert close(statistics.distance(), pieces["bn_distance"])
    assert close(gradient.mean(dim=(2, 3)), pieces["bn_gradient_mean"], 1e-4)
    assert close(gradient[0, :, 0, 0], pieces["bn_gradient_first"])


class TestNSD:
    """losses.py:110-124, `robust_fairness_loss`, which nothing calls."""

    @pytest.fixture
    def hits(self, pieces: Stored) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Correct images and images of each class, of which the fifth has none."""
        labels = pieces["fairness_labels"]
        right = labels[pieces["fairness_logits"].argmax(dim=1) == labels]
        return tuple(torch.bincount(of, minlength=CLASSES).numpy() for of in (right, labels))  # type: ignore[return-value]

    def test_is_the_sample_standard_deviation_where_ours_is_the_populations(
        self, pieces: Stored, hits: tuple[NDArray[np.int64], NDArray[np.int64]]
    ) -> None:
        """`torch.std` divides by K − 1. Ours divides by K: the classes are all there are, not a sample of them."""
        ours = float(metrics(*hits)["nsd"])
        assert pieces["fairness"].item() == pytest.approx(ours * math.sqrt(4 / 3), rel=1e-5)

    def test_counts_an_absent_class_as_wrong_where_ours_leaves_it_out(
        self, pieces: Stored, hits: tuple[NDArray[np.int64], NDArray[np.int64]]
    ) -> None:
        """Of a class without images nothing is known, so ours takes the statistics of the others."""
        accuracies = [*(hits[0][:4] / hits[1][:4]), 0.0]
        assert pieces["fairness_with_absent"].item() == pytest.approx(
            np.std(accuracies, ddof=1) / np.mean(accuracies), rel=1e-5
        )
        assert float(metrics(*hits)["nsd"]) < pieces["fairness_with_absent"].item()
