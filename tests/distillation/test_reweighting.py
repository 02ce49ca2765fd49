"""From margins and PGD steps to class probabilities, by hand and by brute force."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from scipy.special import expit, softmax
from torch import Tensor, nn

from dfrd_bench.distillation.reweighting import class_means, distribution, probe

STRATEGIES = ["softmax", "minmax", "power", "linear", "sigmoid", "tanh", "uniform"]


class TestClassMeans:
    def test_are_means_per_class_and_absent_classes_keep_their_value(self) -> None:
        values, labels = torch.tensor([1.0, 5.0, 3.0, -2.0]), torch.tensor([0, 2, 0, 2])
        found = class_means(values, labels, torch.tensor([9.0, 8.0, 7.0, 6.0]))
        assert found.tolist() == [2.0, 8.0, 1.5, 6.0]

    def test_of_an_empty_batch_change_nothing(self) -> None:
        previous = torch.tensor([1.0, 2.0])
        assert torch.equal(class_means(torch.empty(0), torch.empty(0, dtype=torch.int64), previous), previous)

    def test_leave_what_was_handed_in_alone(self) -> None:
        previous = torch.tensor([1.0, 2.0])
        class_means(torch.tensor([5.0]), torch.tensor([0]), previous)
        assert previous.tolist() == [1.0, 2.0]


class TestDistribution:
    margins = torch.tensor([-3.0, 0.5, -1.0])  # D_c: the second class is the most vulnerable
    steps = torch.tensor([20.0, 2.0, 10.0])  # κ_c: the second class falls first

    def found(self, strategy: str, **more: float) -> list[float]:
        d = self.margins if strategy in ("softmax", "minmax") else self.steps
        return distribution(d, strategy, **more).tolist()  # type: ignore[arg-type]

    def test_softmax_is_scipys_at_a_temperature(self) -> None:
        assert self.found("softmax") == pytest.approx(list(softmax([-3, 0.5, -1])))
        assert self.found("softmax", temperature=2.0) == pytest.approx(list(softmax([-1.5, 0.25, -0.5])))

    def test_in_units_of_the_spread_neither_scale_nor_place_of_the_margins_matters(self) -> None:
        d = np.array([-3.0, 0.5, -1.0])
        expected = softmax((d - d.mean()) / d.std() / 1.5)
        for scale, place in ((1.0, 0.0), (40.0, -7.0), (1e-3, 3.0)):
            found = distribution(scale * self.margins + place, "softmax", temperature=1.5, unit="spread")
            assert found.tolist() == pytest.approx(list(expected), rel=1e-3)
        alike = distribution(torch.full((4,), -3.0), "softmax", unit="spread")
        assert alike.tolist() == [0.25] * 4

    def test_minmax_by_hand(self) -> None:
        # scaled to [0.05, 0.2]: 0.05, 0.2, 0.05 + 0.15·2/3.5
        middle = 0.05 + 0.15 * 2 / 3.5
        total = 0.25 + middle
        assert self.found("minmax") == pytest.approx([0.05 / total, 0.2 / total, middle / total])

    def test_power_by_hand(self) -> None:
        total = 1 / 400 + 1 / 4 + 1 / 100
        assert self.found("power") == pytest.approx([1 / 400 / total, 1 / 4 / total, 1 / 100 / total])

    def test_a_class_that_falls_before_the_first_step_does_not_take_all(self) -> None:
        steps = torch.tensor([5.0, 0.0, 1.0])
        assert distribution(steps, "power").tolist() == pytest.approx([1 / 51, 25 / 51, 25 / 51])

    def test_linear_by_hand(self) -> None:
        assert self.found("linear") == pytest.approx([1 / 31, 19 / 31, 11 / 31])  # 1/21, 19/21, 11/21

    def test_sigmoid_by_hand(self) -> None:
        weight = expit([-5.0, 4.0, 0.0])
        assert self.found("sigmoid") == pytest.approx(list(weight / weight.sum()))

    def test_tanh_by_hand(self) -> None:
        weight = np.array([(1 + math.tanh(v)) / 2 for v in (-5.0, 4.0, 0.0)])
        assert self.found("tanh") == pytest.approx(list(weight / weight.sum()))

    def test_uniform_ignores_vulnerability(self) -> None:
        assert self.found("uniform") == pytest.approx([1 / 3] * 3)

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_is_a_distribution_that_favours_the_most_vulnerable_class(self, strategy: str) -> None:
        found = self.found(strategy)
        assert sum(found) == pytest.approx(1)
        assert min(found) >= 0
        if strategy != "uniform":
            assert found[1] == max(found) > found[2] > found[0]

    @pytest.mark.parametrize(
        ("strategy", "value"),
        [*itertools.product(STRATEGIES, (0.0, 1.0, 20.0)), ("softmax", -7.0), ("minmax", -7.0)],
    )
    def test_equal_vulnerability_gives_equal_shares_and_no_nan(self, strategy: str, value: float) -> None:
        found = distribution(torch.full((5,), value), strategy).tolist()  # type: ignore[arg-type]
        assert found == pytest.approx([0.2] * 5)

    def test_extreme_margins_stay_a_distribution(self) -> None:
        found = distribution(torch.tensor([1e4, -1e4, 0.0]), "softmax")
        assert found.tolist() == [1, 0, 0]


@pytest.fixture(scope="module")
def teacher() -> nn.Module:
    return tiny.SmallConv(num_classes=4).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def images(teacher: nn.Module) -> tuple[Tensor, Tensor]:
    x = tiny.random_images(40)
    y = tiny.own_labels(teacher, x)
    y[:4] = (y[:4] + 1) % 4  # misclassified from the start
    return x, y


class TestProbe:
    """Against a loop that attacks one image at a time and looks after every step."""

    eps = 0.08

    def brute_force(self, teacher: nn.Module, x: Tensor, y: Tensor, steps: int) -> tuple[list[Tensor], list[int]]:
        noise = torch.empty_like(x).uniform_(-self.eps, self.eps, generator=torch.Generator().manual_seed(3))
        last, first = [], []
        for i in range(len(x)):
            centre, label = x[i : i + 1], y[i : i + 1]
            current = (centre + noise[i : i + 1]).clamp(0, 1)
            found = None
            for step in range(steps + 1):
                if step:
                    variable = current.clone().requires_grad_()
                    nn.functional.cross_entropy(teacher(variable), label).backward()
                    moved = current + self.eps / 4 * variable.grad.sign()
                    current = (centre + (moved - centre).clamp(-self.eps, self.eps)).clamp(0, 1)
                logits = teacher(current)[0]
                if found is None and int(logits.argmax()) != int(label):
                    found = step
            last.append(logits)
            first.append(steps if found is None else found)
        return last, first

    @pytest.mark.parametrize("steps", [3, 20])
    def test_first_misclassification_is_that_of_a_loop_over_images(
        self, teacher: nn.Module, images: tuple[Tensor, Tensor], steps: int
    ) -> None:
        problem = tiny.problem(eps=self.eps, teacher=teacher)
        _, first = probe(
            problem,
            *images,
            steps=steps,
            probabilities=False,
            generator=torch.Generator().manual_seed(3),
        )
        _, expected = self.brute_force(teacher, *images, steps)
        assert first.tolist() == expected
        assert {0, steps} < set(expected)  # some at once, some never, some in between

    def test_margins_are_those_of_the_last_images(self, teacher: nn.Module, images: tuple[Tensor, Tensor]) -> None:
        problem = tiny.problem(eps=self.eps, teacher=teacher)
        last, _ = self.brute_force(teacher, *images, 20)
        for probabilities in (False, True):
            margins, _ = probe(
                problem,
                *images,
                steps=20,
                probabilities=probabilities,
                generator=torch.Generator().manual_seed(3),
            )
            for found, logits, label in zip(margins.tolist(), last, images[1].tolist(), strict=True):
                z = logits.softmax(0) if probabilities else logits
                rest = max(float(z[j]) for j in range(4) if j != label)
                assert found == pytest.approx(float(z[label]) - rest, abs=2e-3)

    def test_leaves_the_teacher_and_the_global_random_state_alone(
        self, images: tuple[Tensor, Tensor], unmoved_rng: None
    ) -> None:
        problem = tiny.problem()
        before = {name: tensor.clone() for name, tensor in problem.teacher.state_dict().items()}
        probe(problem, *images, steps=2, probabilities=False, generator=torch.Generator())
        assert all(torch.equal(before[name], t) for name, t in problem.teacher.state_dict().items())
        assert not any(p.requires_grad for p in problem.teacher.parameters())


def test_probe_goes_as_far_as_the_threat_model_allows() -> None:
    seen: list[Tensor] = []

    class Watched(tiny.SmallConv):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.detach())
            return super().forward(x)

    teacher, x = Watched(num_classes=4), tiny.random_images(10)
    problem = tiny.problem(teacher=teacher)
    problem = replace(problem, threat=problem.threat.model_copy(update={"eps": 0.05, "step": 0.02}))
    probe(
        problem,
        x,
        torch.zeros(10, dtype=torch.int64),
        steps=6,
        probabilities=False,
        generator=torch.Generator(),
    )
    reached = [(images - x).abs().max().item() for images in seen]
    assert max(reached) == pytest.approx(0.05, abs=1e-6)
