"""The student's part of every method: one step written out, the schedule, and the augmentation."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrd_bench.distillation.distiller import Distiller, DistillerConfig
from dfrd_bench.distillation.tally import Averages
from dfrd_bench.errors import DfrdBenchError

X = tiny.random_images(6)


class Bare(Distiller):
    """A distiller whose images are handed to it."""

    def train_epoch(self, epoch: int) -> dict[str, float]:
        return {}

    def sample(self, n: int) -> Tensor:
        return X[:n]


def bare(problem: Any = None, **settings: Any) -> Bare:
    return Bare(problem or tiny.problem(), DistillerConfig(**{"lr": 0.05, "attack_steps": 3, **settings}))


def relative_entropy(z: Tensor, w: Tensor) -> Tensor:
    p, q = z.softmax(1), w.softmax(1)
    return (p * (p / q).log()).sum(1)


def student_after_steps_written_out(method: Bare, steps: int, adversarial_weight: float) -> nn.Module:
    """Robust distillation on X with SGD, momentum and weight decay, from the formulas of FERD's A.8."""
    student, teacher, eps = copy.deepcopy(method.student), method.problem.teacher, method.problem.threat.eps
    source = torch.Generator().set_state(method.rng.get_state())
    velocity = {name: torch.zeros_like(p) for name, p in student.named_parameters()}
    target = teacher(X)
    for _ in range(steps):
        adversarial = (X + (0.001 * torch.randn(X.shape, generator=source)).clamp(-eps, eps)).clamp(0, 1)
        student.eval()
        for _ in range(3):
            adversarial = adversarial.detach().requires_grad_()
            (slope,) = torch.autograd.grad(relative_entropy(target, student(adversarial)).sum(), adversarial)
            moved = adversarial.detach() + eps / 4 * slope.sign()
            adversarial = torch.minimum(torch.maximum(moved, X - eps), X + eps).clamp(0, 1)
        student.train()
        clean = relative_entropy(target, student(X)).mean()
        attacked = relative_entropy(target, student(adversarial)).mean()
        loss = adversarial_weight * attacked + (1 - adversarial_weight) * clean
        student.zero_grad()
        loss.backward()
        with torch.no_grad():
            for name, p in student.named_parameters():
                assert p.grad is not None
                velocity[name] = 0.9 * velocity[name] + p.grad + 5e-4 * p
                p -= 0.05 * velocity[name]
    return student


@pytest.mark.parametrize("weight", [5 / 6, 0.25])
def test_two_steps_are_those_written_out(weight: float) -> None:
    method = bare(adversarial_weight=weight)
    expected = student_after_steps_written_out(method, 2, weight)
    before = copy.deepcopy(method.student)
    for _ in range(2):
        method.distill(X)
    for (name, ours), theirs in zip(method.student.state_dict().items(), expected.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-3, msg=name)
    assert (before.fc.weight - method.student.fc.weight).abs().max() > 1e-2
    assert method.student.bn1.num_batches_tracked == 4  # clean and adversarial images, twice


def test_without_the_conversion_it_is_plain_distillation_at_its_temperature() -> None:
    method = bare(conversion=False, temperature=3.0)
    student = copy.deepcopy(method.student).train()
    z, w = method.problem.teacher(X), student(X)
    expected = 9 * relative_entropy(z / 3, w / 3).mean()
    assert method.distill(X) == pytest.approx(expected.item(), rel=1e-4)
    assert method.student.bn1.num_batches_tracked == 1


def test_distilling_lowers_the_loss_and_leaves_the_teacher_alone() -> None:
    method = bare()
    before = copy.deepcopy(method.problem.teacher.state_dict())
    losses = [method.distill(X) for _ in range(20)]
    assert losses[-1] < 0.5 * losses[0]
    assert all(torch.equal(before[name], t) for name, t in method.problem.teacher.state_dict().items())


def test_a_loss_that_explodes_is_named_with_its_stage() -> None:
    method = bare()
    method.student.fc.weight.data.fill_(float("nan"))
    with pytest.raises(DfrdBenchError, match="Loss term student became nan in the distillation stage"):
        method.distill(X)


def test_learning_rate_is_a_cosine_after_the_warm_up() -> None:
    method = bare(epochs=6, warmup_epochs=2, lr=0.4)
    rates = [method.set_learning_rate(epoch) for epoch in range(6)]
    expected = [0.4, 0.4, 0.4, 0.2 * (1 + math.cos(math.pi / 4)), 0.2, 0.2 * (1 - math.cos(math.pi / 4))]
    assert rates == pytest.approx(expected)
    assert method.optimiser.param_groups[0]["lr"] == rates[-1]


def test_a_warm_up_longer_than_the_run_still_has_a_rate() -> None:
    assert bare(epochs=1, warmup_epochs=20).set_learning_rate(0) == pytest.approx(0.05)


class TestAugmentation:
    image = torch.arange(1.0, 65).reshape(1, 1, 8, 8).expand(200, -1, -1, -1) / 64

    def test_crops_by_an_eighth_of_the_height_by_default(self) -> None:
        made = bare(tiny.problem(mirrored=False)).augment(self.image)
        padded = F.pad(self.image[0, 0], (1,) * 4)
        shifts = {tuple(padded[i : i + 8, j : j + 8].flatten().tolist()) for i in range(3) for j in range(3)}
        assert {tuple(image.flatten().tolist()) for image in made} == shifts

    @pytest.mark.parametrize(("size", "padding"), [(8, 1), (16, 2), (32, 4), (64, 4)])
    def test_no_image_moves_by_more_than_four_pixels(self, size: int, padding: int) -> None:
        """The released codes crop 32 and 64 pixels alike."""
        image = torch.arange(1.0, size + 1).expand(300, 1, size, size)
        made = bare(tiny.problem(mirrored=False)).augment(image)
        moved = made[:, 0, size // 2, size // 2] - image[:, 0, size // 2, size // 2]
        assert (moved.min(), moved.max()) == (-padding, padding)

    @pytest.mark.parametrize(("flip", "mirrored", "expected"), [(None, True, 2), (None, False, 1), (True, False, 2)])
    def test_mirrors_where_the_dataset_or_the_user_says_so(self, flip: Any, mirrored: bool, expected: int) -> None:
        made = bare(tiny.problem(mirrored=mirrored), flip=flip, crop_padding=0).augment(self.image)
        assert len({tuple(image.flatten().tolist()) for image in made}) == expected

    def test_is_differentiable_in_the_images(self) -> None:
        x = self.image.clone().requires_grad_()
        bare(crop_padding=0).augment(x).sum().backward()
        assert x.grad is not None
        assert torch.equal(x.grad, torch.ones_like(x))


def test_averages_are_means_per_name() -> None:
    averages = Averages()
    averages.add({"a": 1.0, "b": torch.tensor(4.0)})
    averages.add({"a": 2.0})
    assert averages.means() == {"a": 1.5, "b": 4.0}
