"""The losses that make images: divergences, entropies, smoothing, total variation, and the inversion they add up to."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import tiny
import torch
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy
from torch import Tensor, nn
from torch.nn import functional as F

from dfrd_bench.distillation.batchnorm import BatchNormStatistics
from dfrd_bench.distillation.inversion import Inversion
from dfrd_bench.distillation.losses import (
    entropy_per_image,
    imbalance,
    js,
    kl_where_agreed,
    smoothed_cross_entropy,
    total_variation,
)


def logits(seed: int, shape: tuple[int, int] = (6, 5)) -> Tensor:
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_js_equals_scipys(temperature: float) -> None:
    p, q = logits(0), logits(1)
    distances = [
        jensenshannon((a / temperature).softmax(0).double().numpy(), (b / temperature).softmax(0).double().numpy())
        for a, b in zip(p, q, strict=True)
    ]
    assert float(js(p, q, temperature=temperature)) == pytest.approx(sum(d**2 for d in distances) / 6, rel=1e-4)
    assert torch.allclose(js(p, q), js(q, p))


def test_js_is_log_2_at_most_and_has_gradients_at_any_confidence() -> None:
    p = torch.tensor([[200.0, 0.0]]).requires_grad_()
    q = torch.tensor([[0.0, 200.0]])
    value = js(p, q)
    value.backward()
    assert float(value.detach()) == pytest.approx(math.log(2))
    assert torch.isfinite(p.grad).all()
    assert float(js(q, q)) == 0


def test_kl_where_agreed_by_hand() -> None:
    teacher = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    student = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 3.0]])  # disagrees on the second image
    expected = 0.0
    for t, s in ((2.0, 1.0), (1.0, 3.0)):  # sigmoid of the difference is the larger probability
        p, q = 1 / (1 + math.exp(-t)), 1 / (1 + math.exp(-s))
        expected += p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert float(kl_where_agreed(teacher, student)) == pytest.approx(expected / 3)


def test_images_they_disagree_on_send_no_gradient() -> None:
    teacher = torch.tensor([[2.0, 0.0], [2.0, 0.0]]).requires_grad_()
    student = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).requires_grad_()
    kl_where_agreed(teacher, student).backward()
    for z in (teacher, student):
        assert z.grad[0].abs().sum() > 0
        assert z.grad[1].abs().sum() == 0


def test_entropy_equals_scipys() -> None:
    z = logits(0)
    expected = entropy(z.double().softmax(1).numpy(), axis=1)
    assert entropy_per_image(z).tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    assert float(entropy_per_image(torch.zeros(1, 7))) == pytest.approx(math.log(7))


def test_imbalance_equals_scipys_and_is_least_for_balanced_classes() -> None:
    z = logits(0)
    mean = z.double().softmax(1).mean(0).numpy()
    assert float(imbalance(z)) == pytest.approx(-entropy(mean, base=10), rel=1e-5)
    assert float(imbalance(1000 * torch.eye(5))) == pytest.approx(-math.log10(5))  # sure of each class once
    assert float(imbalance(torch.zeros(3, 5))) == pytest.approx(-math.log10(5))


def test_imbalance_of_a_batch_that_misses_classes_has_finite_gradients() -> None:
    z = torch.tensor([[1000.0, 0.0, 0.0]]).requires_grad_()
    value = imbalance(z)
    value.backward()
    assert float(value.detach()) == pytest.approx(0)
    assert torch.isfinite(z.grad).all()


def test_smoothed_cross_entropy_equals_cross_entropy_with_the_targets_written_out() -> None:
    z, y = logits(0), torch.tensor([0, 1, 2, 3, 4, 0])
    targets = torch.full((6, 5), 0.3 / 4)
    targets[torch.arange(6), y] = 0.7
    assert torch.allclose(smoothed_cross_entropy(z, y, 0.3), F.cross_entropy(z, targets))
    assert torch.allclose(smoothed_cross_entropy(z, y, 0.0), F.cross_entropy(z, y))


def test_total_variation_of_a_single_bright_pixel() -> None:
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = 3.0
    assert float(total_variation(x)) == pytest.approx(4 * 3 * math.sqrt(2))  # two differences of 3 in each direction


def test_total_variation_of_a_plain_image_is_0_with_finite_gradients() -> None:
    x = torch.full((2, 3, 4, 4), 0.5).requires_grad_()
    total_variation(x).backward()
    assert float(total_variation(x.detach())) == 0
    assert torch.isfinite(x.grad).all()


class Fixed(nn.Module):
    """Gives the same logits whatever it is shown, and counts how often it is asked."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer
        self.asked = 0

    def forward(self, x: Tensor) -> Tensor:
        self.asked += 1
        return self.answer


def weights(*, bn: float, oh: float, adv: float) -> SimpleNamespace:
    return SimpleNamespace(lambda_bn=bn, lambda_oh=oh, lambda_adv=adv)


def test_inversion_adds_up_its_weighted_terms() -> None:
    teacher, student = Fixed(logits(0)), Fixed(logits(1))
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    problem = replace(tiny.problem(), teacher=teacher, student=student)
    invert = Inversion(problem, weights(bn=0.0, oh=2.0, adv=3.0), owner="test", disagreement=js)
    terms = invert(torch.empty(6), labels)
    assert terms.keys() == {"oh", "adv"}
    assert torch.allclose(terms["oh"], 2 * F.cross_entropy(teacher.answer, labels))
    assert torch.allclose(terms["adv"], -3 * js(teacher.answer, student.answer))
    assert invert(torch.empty(6), labels, adversarial=False).keys() == {"oh"}
    assert student.asked == 1


def test_inversion_matches_the_teachers_statistics() -> None:
    teacher = tiny.wide_resnet()
    statistics = BatchNormStatistics(teacher, "test")
    invert = Inversion(tiny.problem(teacher=teacher), weights(bn=2.0, oh=1.0, adv=0.0), owner="test")
    x = tiny.random_images(8)
    terms = invert(x, torch.zeros(8, dtype=torch.int64))
    with statistics.record():
        teacher(x)
    assert terms.keys() == {"oh", "bn"}
    assert torch.equal(terms["bn"], 2 * statistics.distance())
