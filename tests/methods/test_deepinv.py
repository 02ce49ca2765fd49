"""DeepInv: its loss terms, its canvas of pixels, and what it does to images."""

from __future__ import annotations

import math

import pytest
import tiny
import torch
import toy
from dfrd_bench.methods.data_free.deepinv import DeepInv
from torch.nn import functional as F

from dfrd_bench.distillation.batchnorm import BatchNormStatistics
from dfrd_bench.distillation.losses import kl
from dfrd_bench.errors import DfrdBenchError


def test_resumes_exactly() -> None:
    toy.check_resumes_exactly(DeepInv)


def test_leaves_the_teacher_alone() -> None:
    toy.check_leaves_the_teacher_alone(DeepInv)


@pytest.mark.parametrize(("channels", "size", "classes"), [(3, 12, 3), (1, 8, 200), (3, 64, 2)])
def test_runs_for_any_shape(channels: int, size: int, classes: int) -> None:
    toy.check_runs(DeepInv, channels=channels, size=size, classes=classes)


def test_losses_are_float32_under_bf16() -> None:
    toy.check_losses_are_float32_under_bf16(DeepInv)


def test_network_terms_are_their_weights_times_their_definitions() -> None:
    method = toy.make(DeepInv, lambda_bn=2.0, lambda_oh=3.0, lambda_adv=5.0, js_temperature=3.0)
    method.student.eval()
    x, y = tiny.random_images(8), toy.labels_for(method)
    teacher, student = method.problem.teacher, method.student.requires_grad_(False)
    terms = method.generator_loss(x, y)
    inputs = {}  # each layer's input, caught by hooks of our own
    layers = [m for m in teacher.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    handles = [m.register_forward_pre_hook(lambda m, i: inputs.update({m: i[0]})) for m in layers]
    z_teacher = teacher(x)
    for handle in handles:
        handle.remove()
    bn = 0.0
    for layer in layers:
        flat = inputs[layer].transpose(0, 1).flatten(1).double()
        bn += float((flat.mean(1) - layer.running_mean).square().sum().sqrt())
        bn += float((flat.var(1, unbiased=False) - layer.running_var).square().sum().sqrt())
    assert float(terms["bn"]) == pytest.approx(2 * bn, rel=1e-4)
    log_p = z_teacher.log_softmax(1)
    assert float(terms["oh"]) == pytest.approx(-3 * sum(float(log_p[i, c]) for i, c in enumerate(y)) / 8, rel=1e-5)
    p, q = (z_teacher.double() / 3).softmax(1), (student(x).double() / 3).softmax(1)
    m = (p + q) / 2
    js = ((p * (p / m).log()).sum(1) + (q * (q / m).log()).sum(1)).mean() / 2
    assert float(terms["adv"]) == pytest.approx(-5 * float(js), rel=1e-3)


def test_image_terms_are_their_weights_times_their_definitions() -> None:
    method = toy.make(DeepInv, lambda_bn=0.0, lambda_adv=0.0, lambda_tv=7.0, lambda_l2=11.0)
    x = tiny.random_images(8)
    terms = method.generator_loss(x, toy.labels_for(method))
    assert float(terms["l2"]) == pytest.approx(11 * math.sqrt(sum(v * v for v in x.flatten().tolist())), rel=1e-5)
    pixels = x[:, 0].tolist()
    total = 0.0
    for row, column in ((0, 1), (1, 0), (1, 1), (1, -1)):  # the four neighbours
        squares = 0.0
        for image in pixels:
            for a in range(8 - row):
                for b in range(8):
                    if 0 <= b + column < 8:
                        squares += (image[a + row][b + column] - image[a][b]) ** 2
        total += math.sqrt(squares)
    assert float(terms["tv"]) == pytest.approx(7 * total, rel=1e-5)


def test_terms_without_a_weight_are_left_out() -> None:
    method = toy.make(DeepInv, lambda_bn=0.0, lambda_adv=0.0, lambda_tv=0.0)
    assert method.generator_loss(tiny.random_images(8), toy.labels_for(method)).keys() == {"oh"}


def test_synthesis_brings_the_batchnorm_statistics_closer() -> None:
    teacher = tiny.wide_resnet(channels=3, num_classes=3)
    for layer in teacher.modules():  # the statistics of one batch of bright images, as if they were the training data
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        teacher.train()(0.6 + 0.4 * tiny.random_images(64, (3, 8, 8)))
    problem = tiny.problem(channels=3, classes=3, teacher=teacher)
    method = toy.make(DeepInv, problem, synthesis_steps=40, batch_size=16)
    labels = toy.labels_for(method)
    start = method.canvas(labels)[0]().detach()
    end, _ = method.synthesize(labels)
    statistics = BatchNormStatistics(teacher, "test")

    def distance(x: torch.Tensor) -> float:
        with statistics.record(), torch.no_grad():
            teacher(x)
        return float(statistics.distance())

    assert distance(end) < 0.6 * distance(start)


def test_synthesis_makes_images_of_the_wanted_class() -> None:
    method = toy.make(
        DeepInv, tiny.problem(mirrored=False), synthesis_steps=40, lambda_bn=0.0, lambda_adv=0.0, jitter=0.0
    )
    labels = toy.labels_for(method)
    x, _ = method.synthesize(labels)
    with torch.no_grad():
        before = F.cross_entropy(method.problem.teacher(method.canvas(labels)[0]()), labels)
        after = F.cross_entropy(method.problem.teacher(x), labels)
    assert after < 0.5 * before


def test_images_are_flipped_only_where_the_dataset_is_mirrored_or_the_config_says_so() -> None:
    x = tiny.random_images(2)
    for mirrored, flip, expected in (
        (False, None, False),
        (True, None, True),
        (False, True, True),
        (True, False, False),
    ):
        method = toy.make(DeepInv, tiny.problem(mirrored=mirrored), flip=flip, jitter=0.0)
        views = [method.synthesis_view(x) for _ in range(20)]
        assert any(torch.equal(view, x.flip(3)) for view in views) == expected


def test_canvas_is_pixels_kept_in_range_and_its_own_adam() -> None:
    method = toy.make(DeepInv, tiny.problem(channels=3))
    render, groups = method.canvas(toy.labels_for(method))
    (group,) = groups
    assert (group["lr"], group["betas"]) == (0.1, (0.5, 0.99))
    (u,) = group["params"]
    assert u.shape == (8, 3, 8, 8)
    assert torch.allclose(render(), 0.5 + 0.25 * u)
    with torch.no_grad():
        u.mul_(100)
    assert float(render().detach().min()) == pytest.approx(0)
    assert float(render().detach().max()) == pytest.approx(1)
    render().sum().backward()
    assert torch.equal(u.grad, torch.full_like(u, 0.25))  # no pixel is stuck at the border


def test_a_teacher_without_batchnorm_gets_told_what_is_missing() -> None:
    def blind() -> object:
        return tiny.problem(classes=10, teacher=tiny.SmallConv())

    with pytest.raises(DfrdBenchError, match=r"lambda_bn.*BatchNorm"):
        toy.make(DeepInv, blind())
    toy.make(DeepInv, blind(), lambda_bn=0.0).train_epoch(0)


def test_without_conversion_the_student_learns_by_kl_at_temperature_20() -> None:
    method = toy.make(DeepInv, conversion=False)
    x = tiny.random_images(8)
    z = method.problem.teacher(x)
    loss = method.distillation(method.student.eval(), x, z, method.rng)["student"]
    assert torch.equal(loss, kl(z, method.student(x), temperature=20))


def test_a_preset_gives_it_as_many_steps_as_every_method() -> None:
    assert DeepInv.Config.at_budget({"epochs": 40, "synthesis_steps": 30}) == {"epochs": 40, "synthesis_steps": 30}
    assert "synthesis_steps" not in DeepInv.Config.at_budget({"epochs": 40})
