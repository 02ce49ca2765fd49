"""CMI: its contrastive loss, its memory, and the terms it shares."""

from __future__ import annotations

import math

import pytest
import tiny
import torch
import toy
from dfrd_bench.methods.data_free.cmi import CMI

from dfrd_bench.distillation.losses import kl
from dfrd_bench.errors import DfrdBenchError

SMALL = {"bank_size": 20, "negatives": 6, "head_dim": 5, "head_hidden": 7}


def test_resumes_exactly() -> None:
    toy.check_resumes_exactly(CMI, **SMALL)


def test_leaves_the_teacher_alone() -> None:
    toy.check_leaves_the_teacher_alone(CMI, **SMALL)


@pytest.mark.parametrize(("channels", "size", "classes"), [(3, 12, 3), (1, 8, 200), (3, 64, 2)])
def test_runs_for_any_shape(channels: int, size: int, classes: int) -> None:
    toy.check_runs(CMI, channels=channels, size=size, classes=classes, **SMALL)


def test_losses_are_float32_under_bf16() -> None:
    toy.check_losses_are_float32_under_bf16(CMI, **SMALL)


@pytest.mark.parametrize("past", [0, 20])
def test_contrastive_loss_equals_brute_force(past: int) -> None:
    method = toy.make(CMI, **SMALL | {"negatives": 100})
    part = method.discrimination
    width = part.means.width()
    generator = torch.Generator().manual_seed(0)
    local, whole = torch.randn(2, 8, width, generator=generator)
    remembered = torch.randn(past, 2 * width, generator=generator).half()
    if past:
        part.bank.add(remembered)
    # the bank's order does not matter: candidates are a set, and anchors are averaged
    anchors = part.head(torch.cat([local, remembered[:, :width].float()])).tolist()
    candidates = part.head(torch.cat([whole, remembered[:, width:].float()])).tolist()
    losses = []
    for i, anchor in enumerate(anchors):
        scores = [
            math.exp(sum(a * c for a, c in zip(anchor, candidate, strict=True)) / 0.2) for candidate in candidates
        ]
        losses.append(-math.log(scores[i] / sum(scores)))
    expected = sum(losses[:8]) / 8 + (sum(losses[8:]) / past if past else 0)
    assert float(part.loss(local, whole, method.rng).detach()) == pytest.approx(expected, rel=1e-4)


def test_only_local_views_and_the_head_get_gradients() -> None:
    method = toy.make(CMI, **SMALL)
    part = method.discrimination
    part.bank.add(torch.randn(20, 2 * part.means.width()))
    local, whole = torch.randn(2, 8, part.means.width()).unbind()
    local.requires_grad_()
    whole.requires_grad_()
    part.loss(local, whole, method.rng).backward()
    assert local.grad.abs().sum() > 0
    assert whole.grad is None
    assert all(p.grad.abs().sum() > 0 for p in part.head.parameters())


def test_loss_is_inversion_of_the_global_view_plus_contrast() -> None:
    weights = {"lambda_bn": 1.0, "lambda_oh": 2.0, "lambda_adv": 0.5, "lambda_cr": 4.0}
    method = toy.make(CMI, crop_padding=0, flip=False, **weights, **SMALL)
    method.student.eval()
    teacher, student = method.problem.teacher, method.student.requires_grad_(False)
    x, y = tiny.random_images(8), toy.labels_for(method)
    terms = method.generator_loss(x, y)
    assert terms.keys() == {"bn", "oh", "adv", "cr"}
    z_teacher, z_student = teacher(x), student(x)  # without crop and flip the global view is x
    log_p = z_teacher.log_softmax(1)
    assert float(terms["oh"]) == pytest.approx(-2 * sum(float(log_p[i, c]) for i, c in enumerate(y)) / 8, rel=1e-5)
    agreed = z_teacher.argmax(1) == z_student.argmax(1)
    divergences = [float(kl(z_teacher[i : i + 1], z_student[i : i + 1])) for i in range(8)]
    expected = -0.5 * sum(d for d, a in zip(divergences, agreed, strict=True) if a) / 8
    assert float(terms["adv"]) == pytest.approx(expected, rel=1e-4)
    method.cmi = method.cmi.model_copy(update={"lambda_cr": 8.0})
    method.rng.manual_seed(0)
    double = method.generator_loss(x, y)["cr"]
    method.cmi = method.cmi.model_copy(update={"lambda_cr": 4.0})
    method.rng.manual_seed(0)
    assert torch.allclose(double, 2 * method.generator_loss(x, y)["cr"])


def test_synthesis_makes_the_images_of_a_batch_tell_apart() -> None:
    """With contrast alone, the loss at the end of a synthesis is well below that at its start."""
    only = {"lambda_bn": 0.0, "lambda_oh": 0.0, "lambda_adv": 0.0, "lambda_cr": 1.0}
    method = toy.make(CMI, **SMALL | only, synthesis_steps=60, generator_lr=1e-2)
    history: list[float] = []
    original = method.discrimination.loss

    def watched(*arguments: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = original(*arguments)
        history.append(float(value.detach()))
        return value

    method.discrimination.loss = watched
    method.synthesize(toy.labels_for(method))
    assert sum(history[-5:]) < 0.8 * sum(history[:5])


def test_the_head_learns_in_synthesis_and_the_kept_batch_enters_the_bank() -> None:
    method = toy.make(CMI, **SMALL)
    part = method.discrimination
    head = [p.clone() for p in part.head.parameters()]
    method.train_epoch(0)
    assert all(not torch.equal(a, b) for a, b in zip(head, part.head.parameters(), strict=True))
    assert all(p.grad is None for p in part.head.parameters())
    assert len(part.bank) == 8
    for _ in range(2):
        method.synthesize_one_batch()
    assert len(part.bank) == 20  # 24 were added


def test_the_bank_has_room_for_every_image_the_run_makes_and_no_more() -> None:
    for rounds in (1, 3):
        method = toy.make(CMI, **SMALL | {"bank_size": 10_000}, synthesis_rounds=rounds)
        assert len(method.discrimination.bank.vectors) == 3 * rounds * 8 == len(method.pool.labels)


def test_local_views_are_the_anchors() -> None:
    """The head's first call is with gradients and on local views; global views, which send none, are the candidates."""
    method = toy.make(CMI, crop_padding=0, flip=False, **SMALL)
    x = tiny.random_images(8).requires_grad_()
    local = method.problem.precision.images(1 - x)  # told apart from the whole view by its content
    method.local_view = lambda images: local
    means, seen = method.discrimination.means, []
    with means.record(), torch.no_grad():
        method.problem.teacher(local)
        expected = means.features()
    method.discrimination.loss = lambda anchors, whole, rng: seen.append(anchors) or anchors.sum()
    method.generator_loss(x, toy.labels_for(method))
    assert torch.allclose(seen[0], expected, atol=1e-5)


def test_the_bank_holds_features_of_local_and_global_views() -> None:
    method = toy.make(CMI, **SMALL, crop_padding=0, flip=False, smallest_crop=1.0)
    x = tiny.random_images(8)
    with method.discrimination.means.record(), torch.no_grad():
        method.problem.teacher(x)
    expected = method.discrimination.means.features()
    method.after_synthesis(x, toy.labels_for(method))
    stored = method.discrimination.bank.vectors[:8].float()
    width = expected.shape[1]
    assert torch.allclose(stored[:, width:], expected, rtol=1e-3, atol=1e-4)  # the global view is x itself
    assert not torch.allclose(stored[:, :width], expected, rtol=1e-3, atol=1e-4)  # the local one is stretched


def test_without_contrast_neither_bank_nor_head_exist() -> None:
    method = toy.make(CMI, lambda_cr=0.0)
    method.student.eval()
    assert method.generator_loss(tiny.random_images(8), toy.labels_for(method)).keys() == {"bn", "oh", "adv"}
    assert "discrimination" not in method.state_dict()
    method.train_epoch(0)


def test_a_teacher_without_batchnorm_gets_told_what_is_missing() -> None:
    def blind() -> object:
        return tiny.problem(classes=10, teacher=tiny.SmallConv())

    with pytest.raises(DfrdBenchError, match="lambda_bn"):
        toy.make(CMI, blind())
    with pytest.raises(DfrdBenchError, match="lambda_cr"):
        toy.make(CMI, blind(), lambda_bn=0.0)
    toy.make(CMI, blind(), lambda_bn=0.0, lambda_cr=0.0).train_epoch(0)


def test_a_preset_shortens_synthesis() -> None:
    assert CMI.Config.at_budget({"epochs": 40, "synthesis_steps": 30}) == {"epochs": 40, "synthesis_steps": 30}
