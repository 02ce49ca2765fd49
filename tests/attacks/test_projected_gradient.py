"""The projected-gradient loop, its losses and its random starts, against foolbox and numbers worked out by hand."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import eagerpy as ep
import foolbox
import pytest
import tiny
import torch
from scipy.stats import kstest
from torch import Tensor, nn

from dfrd_bench.attacks.clean import clean
from dfrd_bench.attacks.projected_gradient import (
    ProjectedGradient,
    ascend,
    carlini_wagner,
    cross_entropy,
    cw,
    fgsm,
    margin,
    pgd20,
    pgd20x5,
    project,
    uniform_start,
)
from dfrd_bench.evaluation.evaluate import predict_under_attack
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import ThreatModel

THREAT = ThreatModel(eps=0.03, step=0.0075)
NOISE = 0.04  # two robust accuracies of the same 200 images under different random starts
Batch = tuple[Tensor, Tensor]


def attacked(attack: Any, model: nn.Module, batch: Batch, *, seed: int = 0) -> Tensor:
    x, y = batch
    return attack(model, x, y, threat=THREAT, indices=torch.arange(len(y)), seed=seed)


def robust_accuracy(model: nn.Module, x_adv: Tensor, y: Tensor) -> float:
    return (tiny.own_labels(model, x_adv) == y).float().mean().item()


class FoolboxPGD(foolbox.attacks.LinfPGD):
    """foolbox's PGD from a start and on a loss of our choosing."""

    def __init__(self, start: Tensor, loss: Any = None) -> None:
        super().__init__(abs_stepsize=THREAT.step, steps=20, random_start=True)
        self.start = start
        self.loss = loss

    def get_random_start(self, x0: Any, epsilon: float) -> Any:
        return ep.astensor(self.start)

    def get_loss_fn(self, model: Any, labels: Any) -> Any:
        if self.loss is None:
            return super().get_loss_fn(model, labels)
        return lambda inputs: ep.astensor(self.loss(model(inputs).raw, labels.raw))


def run_foolbox(attack: Any, model: nn.Module, batch: Batch) -> Tensor:
    return attack.run(foolbox.PyTorchModel(model, bounds=(0, 1)), *batch, epsilon=THREAT.eps)


class TestAgainstFoolbox:
    def test_fgsm_images_are_foolboxs(self, net: nn.Module, batch: Batch) -> None:
        theirs = run_foolbox(foolbox.attacks.LinfFastGradientAttack(random_start=False), net, batch)
        assert (attacked(fgsm, net, batch) - theirs).abs().max() <= 1e-6

    def test_pgd_without_random_start_makes_foolboxs_images(self, net: nn.Module, batch: Batch) -> None:
        ours = attacked(dataclasses.replace(pgd20, random_start=False), net, batch)
        theirs = run_foolbox(
            foolbox.attacks.LinfPGD(abs_stepsize=THREAT.step, steps=20, random_start=False), net, batch
        )
        assert (ours - theirs).abs().max() <= 1e-6

    def test_pgd20_from_the_same_random_start_makes_foolboxs_images(self, net: nn.Module, batch: Batch) -> None:
        start = uniform_start(batch[0], THREAT.eps, torch.arange(len(batch[0])), seed=3)
        ours = attacked(pgd20, net, batch, seed=3)
        assert (ours - run_foolbox(FoolboxPGD(start), net, batch)).abs().max() <= 1e-6

    def test_pgd20_robust_accuracy_is_foolboxs_within_noise(self, net: nn.Module, batch: Batch) -> None:
        torch.manual_seed(0)
        theirs = run_foolbox(foolbox.attacks.LinfPGD(abs_stepsize=THREAT.step, steps=20), net, batch)
        ours = robust_accuracy(net, attacked(pgd20, net, batch), batch[1])
        assert 0.2 < ours < 0.8
        assert ours == pytest.approx(robust_accuracy(net, theirs, batch[1]), abs=NOISE)

    def test_cw_images_are_those_of_foolboxs_loop_on_a_margin_loss_written_as_a_loop(
        self, net: nn.Module, batch: Batch
    ) -> None:
        x, y = batch[0][:40], batch[1][:40]

        def loss(logits: Tensor, labels: Tensor) -> Tensor:
            rows = []
            for z, label in zip(logits, labels.tolist(), strict=True):
                rows.append(max(z[j] for j in range(len(z)) if j != label) - z[label])
            return torch.stack(rows).sum()

        start = uniform_start(x, THREAT.eps, torch.arange(40), seed=0)
        theirs = run_foolbox(FoolboxPGD(start, loss), net, (x, y))
        assert (attacked(cw, net, (x, y)) - theirs).abs().max() <= 1e-6

    def test_cw_is_about_as_strong_as_pgd20(self, net: nn.Module, batch: Batch) -> None:
        strong = robust_accuracy(net, attacked(cw, net, batch), batch[1])
        assert strong <= robust_accuracy(net, attacked(pgd20, net, batch), batch[1]) + NOISE


class TestEveryAttack:
    @pytest.fixture(params=[clean, fgsm, pgd20, pgd20x5, cw], ids=["clean", "fgsm", "pgd20", "pgd20x5", "cw"])
    def attack(self, request: pytest.FixtureRequest) -> Any:
        return request.param

    def test_stays_in_the_ball_and_in_the_image_range(self, attack: Any, net: nn.Module, batch: Batch) -> None:
        x_adv = attacked(attack, net, batch)
        assert (x_adv - batch[0]).abs().max() <= THREAT.eps + 1e-6
        assert x_adv.min() >= 0
        assert x_adv.max() <= 1
        assert not x_adv.requires_grad

    def test_predictions_do_not_depend_on_the_batch_size(self, attack: Any, net: nn.Module, batch: Batch) -> None:
        images = LabelledImages(*batch)
        small, odd, whole = (
            predict_under_attack(attack, net, images, threat=THREAT, device=tiny.CPU, seed=0, batch_size=size)
            for size in (7, 64, 300)
        )
        assert torch.equal(small, whole)
        assert torch.equal(odd, whole)

    def test_record_states_the_ball_the_images_fill(self, attack: Any, net: nn.Module, batch: Batch) -> None:
        stated = attack.parameters(THREAT).get("eps", 0.0)
        assert (attacked(attack, net, batch) - batch[0]).abs().max() == pytest.approx(stated, abs=1e-6)


@pytest.mark.parametrize(("attack", "steps", "length"), [(fgsm, 1, 0.03), (pgd20, 20, 0.0075), (cw, 20, 0.0075)])
def test_gradients_taken_are_as_many_as_the_record_says(attack: ProjectedGradient, steps: int, length: float) -> None:
    class Counting(nn.Module):
        calls = 0

        def forward(self, images: Tensor) -> Tensor:
            self.calls += 1
            return torch.stack([images.sum((1, 2, 3)), -images.sum((1, 2, 3))], dim=1)

    x, model = torch.full((2, 1, 2, 2), 0.5), Counting().eval()
    attack(model, x, torch.tensor([0, 1]), threat=THREAT, indices=torch.arange(2), seed=0)
    stated = attack.parameters(THREAT)
    assert (model.calls, stated["steps"]) == (steps, steps)
    assert stated["step"] == pytest.approx(length)


class TestSeveralStarts:
    def test_break_what_any_of_them_breaks_and_keep_the_class_of_the_first(self, net: nn.Module, batch: Batch) -> None:
        """Against foolbox, started at every point for every image."""
        x, y = batch
        each = []
        for number in range(5):
            start = uniform_start(x, THREAT.eps, torch.arange(len(y)), seed=1, number=number)
            each.append(tiny.own_labels(net, run_foolbox(FoolboxPGD(start), net, batch)).tolist())
        expected = [
            next((found for found in classes if found != label), label)
            for label, *classes in zip(y.tolist(), *each, strict=True)
        ]
        assert tiny.own_labels(net, attacked(pgd20x5, net, batch, seed=1)).tolist() == expected
        broken = [sum(found != label for found, label in zip(classes, y.tolist(), strict=True)) for classes in each]
        assert max(broken) < sum(found != label for found, label in zip(expected, y.tolist(), strict=True)) < len(y)

    def test_the_first_is_pgd20s_so_that_no_image_stands_that_pgd20_breaks(self, net: nn.Module, batch: Batch) -> None:
        for seed in range(3):
            one, five = (attacked(attack, net, batch, seed=seed) for attack in (pgd20, pgd20x5))
            broken = tiny.own_labels(net, one) != batch[1]
            assert broken.any()
            assert torch.equal(five[broken], one[broken])

    def test_the_record_names_them_and_that_of_pgd20_stays_as_it_was(self) -> None:
        assert pgd20x5.parameters(THREAT) == {**pgd20.parameters(THREAT), "starts": 5}
        assert "starts" not in pgd20.parameters(THREAT)

    def test_an_image_without_a_prediction_counts_as_broken(self, batch: Batch) -> None:
        class Counting(nn.Module):
            gradients = 0

            def forward(self, images: Tensor) -> Tensor:
                self.gradients += images.requires_grad
                return torch.stack([images.sum((1, 2, 3)) * math.nan] * 2, dim=1)

        model = Counting().eval()
        attacked(pgd20x5, model, (batch[0], batch[1] % 2))
        assert model.gradients == 20  # of the first start


class TestUniformStart:
    def test_of_an_image_depends_on_seed_and_index_only(self) -> None:
        x = tiny.random_images(10)
        whole = uniform_start(x, 0.1, torch.arange(10), seed=5) - x
        order = torch.tensor([7, 2, 9])
        part = uniform_start(x[[0, 0, 0]], 0.1, order, seed=5) - x[[0, 0, 0]]
        torch.testing.assert_close(part, whole[order], atol=1e-6, rtol=0)

    def test_differs_between_seeds_and_between_indices(self) -> None:
        x = torch.zeros(2, 1, 8, 8)
        one, two = uniform_start(x, 0.1, torch.tensor([0, 1]), seed=0)
        (other,) = uniform_start(x[:1], 0.1, torch.tensor([0]), seed=1)
        assert len({tuple(noise.flatten().tolist()) for noise in (one, two, other)}) == 3

    def test_the_starts_of_an_image_have_nothing_in_common(self) -> None:
        x = torch.zeros(20, 1, 8, 8)
        noise = [uniform_start(x, 0.1, torch.arange(20), seed=0, number=number).flatten() for number in range(5)]
        assert torch.equal(noise[0], uniform_start(x, 0.1, torch.arange(20), seed=0).flatten())
        assert len({value for one in noise for value in one.tolist()}) > 0.99 * 5 * 20 * 64
        assert (torch.corrcoef(torch.stack(noise)) - torch.eye(5)).abs().max() < 0.1

    def test_noise_is_uniform_in_the_ball(self) -> None:
        noise = uniform_start(torch.zeros(100, 1, 8, 8), 0.1, torch.arange(100), seed=0)
        assert noise.abs().max() <= 0.1
        assert kstest(noise.flatten().numpy(), "uniform", args=(-0.1, 0.2)).pvalue > 0.001

    def test_leaves_the_global_random_state_alone(self, unmoved_rng: None) -> None:
        uniform_start(torch.zeros(3, 1, 4, 4), 0.1, torch.arange(3), seed=0)


class TestAscend:
    x = torch.tensor([[[[0.1, 0.5, 0.95]]]])
    slope = torch.tensor([[[[-1.0, 2.0, 0.5]]]])

    def objective(self, images: Tensor) -> Tensor:
        return (images * self.slope).sum((1, 2, 3))

    def test_with_an_infinite_ball_is_bounded_by_the_image_range_only(self) -> None:
        made = ascend(self.objective, self.x, eps=math.inf, step=0.2, steps=2)
        torch.testing.assert_close(made, torch.tensor([[[[0.0, 0.9, 1.0]]]]))

    def test_with_a_finite_ball_stops_at_its_edge(self) -> None:
        made = ascend(self.objective, self.x, eps=0.03, step=0.02, steps=5)
        torch.testing.assert_close(made, torch.tensor([[[[0.07, 0.53, 0.98]]]]))

    def test_projects_the_start_before_the_first_step(self) -> None:
        start = torch.tensor([[[[0.9, 0.52, -3.0]]]])
        made = ascend(self.objective, self.x, eps=0.1, step=0.01, steps=0, start=start)
        torch.testing.assert_close(made, torch.tensor([[[[0.2, 0.52, 0.85]]]]))

    def test_asks_about_the_start_and_every_step(self) -> None:
        seen: list[tuple[int, float]] = []

        def note(images: Tensor) -> None:
            seen.append((len(seen), images[0, 0, 0, 1].item()))

        def objective(images: Tensor) -> Tensor:
            note(images)
            return self.objective(images)

        note(ascend(objective, self.x, eps=1, step=0.1, steps=3))
        assert seen == [(n, pytest.approx(0.5 + 0.1 * n)) for n in range(4)]

    def test_works_where_gradients_are_switched_off(self) -> None:
        with torch.no_grad():
            made = ascend(self.objective, self.x, eps=0.03, step=0.02, steps=5)
        torch.testing.assert_close(made, torch.tensor([[[[0.07, 0.53, 0.98]]]]))

    def test_leaves_the_given_images_unchanged(self) -> None:
        before = self.x.clone()
        ascend(self.objective, self.x, eps=1, step=0.1, steps=2)
        assert torch.equal(self.x, before)


def test_projection_is_the_nearest_point_found_by_a_grid_search() -> None:
    grid = torch.linspace(0, 1, 2001, dtype=torch.float64)
    for centre in (0.05, 0.5, 0.98):
        allowed = grid[(grid - centre).abs() <= 0.1 + 1e-9]
        for point in (-0.3, 0.0, 0.12, 0.47, 0.61, 1.4):
            nearest = allowed[(allowed - point).abs().argmin()].item()
            found = project(torch.tensor([point]), torch.tensor([centre]), 0.1).item()
            assert found == pytest.approx(nearest, abs=1e-3)


class TestLosses:
    logits = torch.tensor([[3.0, 1.0, 2.5], [3.0, 1.0, 2.5], [-80.0, 0.0, -90.0], [60.0, 0.0, 59.0]])
    labels = torch.tensor([0, 1, 0, 0])

    def test_margin_by_hand(self) -> None:
        assert margin(self.logits, self.labels).tolist() == [0.5, -2.0, -80.0, 1.0]

    def test_carlini_wagner_by_hand_is_clipped_at_50(self) -> None:
        assert carlini_wagner(self.logits, self.labels).tolist() == [-0.5, 2.0, 50.0, -1.0]

    def test_carlini_wagner_stops_pushing_beyond_its_confidence(self) -> None:
        logits = self.logits.clone().requires_grad_()
        carlini_wagner(logits, self.labels).sum().backward()
        assert logits.grad is not None
        assert logits.grad.tolist() == [[-1, 0, 1], [1, -1, 0], [0, 0, 0], [-1, 0, 1]]

    def test_cross_entropy_by_hand(self) -> None:
        value = cross_entropy(torch.tensor([[0.0, math.log(3.0)]]), torch.tensor([0]))
        assert value.tolist() == [pytest.approx(math.log(4))]
