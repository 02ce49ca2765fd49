"""The attack of lessons with labels: where it goes, what it counts, and which BatchNorm statistics it moves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrd_bench.distillation.inner_attack import InnerAttack
from dfrd_bench.distillation.lessons import Batch
from dfrd_bench.problem import Precision, Problem, ThreatModel
from dfrd_bench.students.base import build_network

EPS, STEP = 0.2, 0.05


class Affine(nn.Module):
    """Two classes of images with one pixel: class 1 from the pixel value `boundary` on."""

    def __init__(self, boundary: float, slope: float = 20.0) -> None:
        super().__init__()
        self.boundary, self.slope = boundary, slope

    def forward(self, x: Tensor) -> Tensor:
        score = self.slope * (x.flatten(1)[:, 0] - self.boundary)
        return torch.stack([-score, score], dim=1) / 2


class Returning(nn.Module):
    """Right, wrong, then right again and again, whatever it is asked about; its gradient is that of the pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def forward(self, x: Tensor) -> Tensor:
        self.asked += 1
        sign = -1.0 if self.asked == 2 else 1.0
        score = sign + 0 * x.flatten(1)[:, 0]
        return torch.stack([-score, score], dim=1)


@pytest.fixture
def problem() -> Problem:
    return replace(tiny.problem(), threat=ThreatModel(eps=EPS, step=STEP), precision=Precision(channels_last=False))


def attack(problem: Problem, **options: Any) -> InnerAttack:
    return InnerAttack(problem=problem, **{"away": "label", "steps": 10, **options})


def no_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "randn", lambda *size, **_: torch.zeros(*size))


class TestHowLongAnImageHoldsOut:
    """An affine network: a margin m is used up after ⌈m/γ⌉ steps, and ε = 4γ ends the walk."""

    @pytest.mark.parametrize("count", ["first", "all"])
    def test_is_its_margin_in_steps(self, problem: Problem, count: str, monkeypatch: pytest.MonkeyPatch) -> None:
        no_noise(monkeypatch)
        margins = np.array([-0.1, 0.02, 0.07, 0.12, 0.17, 0.3])
        x = torch.tensor(0.5 + margins, dtype=torch.float32)[:, None, None, None]
        found = attack(problem, count=count)(Affine(0.5), Batch(x, torch.ones(6, dtype=torch.long)), torch.Generator())
        reach = np.where(margins < EPS, np.ceil(margins / STEP), 10)  # beyond the ball no step leads
        assert found.withstood.tolist() == np.clip(reach, 0, 10).tolist() == [0, 1, 2, 3, 4, 10]

    @pytest.mark.parametrize(("count", "expected"), [("first", 1), ("all", 9)])
    def test_of_one_that_comes_back_counts_to_the_first_failure_or_all(
        self, problem: Problem, count: str, expected: int
    ) -> None:
        batch = Batch(torch.full((3, 1, 1, 1), 0.5), torch.ones(3, dtype=torch.long))
        found = attack(problem, count=count, mode="train")(Returning(), batch, torch.Generator())
        assert found.withstood.tolist() == [expected] * 3

    def test_is_at_most_the_number_of_steps(self, problem: Problem) -> None:
        batch = Batch(torch.ones(2, 1, 1, 1), torch.ones(2, dtype=torch.long))
        assert attack(problem, steps=3)(Affine(0.0), batch, torch.Generator()).withstood.tolist() == [3, 3]


class TestImages:
    @pytest.fixture
    def student(self) -> nn.Module:
        return tiny.wide_resnet(seed=3).train()

    @pytest.fixture
    def batch(self, problem: Problem) -> Batch:
        x = tiny.random_images(6)
        return Batch(x, torch.arange(6) % 4, problem.teacher(x).detach())

    @pytest.mark.parametrize("mode", ["eval", "train"])
    @pytest.mark.parametrize("start", ["noise", "uniform"])
    @pytest.mark.parametrize("away", ["label", "teacher", "clean"])
    def test_are_in_the_ball_and_further_from_what_they_leave(
        self, problem: Problem, student: nn.Module, batch: Batch, away: str, start: str, mode: str
    ) -> None:
        found = attack(problem, away=away, start=start, mode=mode)(student, batch, torch.Generator().manual_seed(0)).x
        assert (found - batch.x).abs().max() <= EPS + 1e-6
        assert 0 <= found.min() <= found.max() <= 1

        def distance(x: Tensor) -> float:
            with torch.no_grad():
                logits = student.train(mode == "train")(x)
                if away == "label":
                    return F.cross_entropy(logits, batch.labels).item()
                target = batch.taught if away == "teacher" else student(batch.x)
                return F.kl_div(logits.log_softmax(1), target.softmax(1), reduction="batchmean").item()

        assert distance(found) > distance(batch.x) + 0.01

    @pytest.mark.parametrize("away", ["label", "clean"])
    def test_of_an_untrained_network_beat_random_noise(self, problem: Problem, away: str) -> None:
        model = build_network("wrn-10-1", channels=1, num_classes=10, seed=0)
        draws = torch.Generator().manual_seed(1)
        batch = Batch(torch.rand(16, 1, 8, 8, generator=draws), torch.randint(10, (16,), generator=draws))
        x = attack(problem, away=away)(model, batch, torch.Generator().manual_seed(0)).x
        noise = torch.where(torch.rand(x.shape, generator=draws) < 0.5, -EPS, EPS)
        with torch.no_grad():
            clean, attacked, noisy = (model.eval()(i) for i in (batch.x, x, (batch.x + noise).clamp(0, 1)))
        if away == "label":
            gained, by_chance = (F.cross_entropy(z, batch.labels, reduction="none") for z in (attacked, noisy))
        else:
            target = clean.softmax(1)
            gained, by_chance = (F.kl_div(z.log_softmax(1), target, reduction="none").sum(1) for z in (attacked, noisy))
        assert (gained > by_chance).float().mean() > 0.9

    def test_do_not_depend_on_labels_unless_these_are_left(
        self, problem: Problem, student: nn.Module, batch: Batch
    ) -> None:
        other = replace(batch, labels=(batch.labels + 1) % 4)
        for away, equal in (("teacher", True), ("clean", True), ("label", False)):
            one, two = (
                attack(problem, away=away)(student, b, torch.Generator().manual_seed(0)).x for b in (batch, other)
            )
            assert torch.equal(one, two) is equal

    @pytest.mark.parametrize(("mode", "steps"), [("eval", 0), ("train", 3)])
    def test_running_statistics_move_with_every_step_in_train_mode_only(
        self, problem: Problem, student: nn.Module, batch: Batch, mode: str, steps: int
    ) -> None:
        layer = next(m for m in student.modules() if isinstance(m, nn.BatchNorm2d))
        before, passes = layer.running_mean.clone(), int(layer.num_batches_tracked)
        attack(problem, mode=mode, steps=3)(student, batch, torch.Generator())
        assert int(layer.num_batches_tracked) - passes == steps
        assert torch.equal(layer.running_mean, before) is (steps == 0)
        assert student.training
        assert all(p.requires_grad and p.grad is None for p in student.parameters())
