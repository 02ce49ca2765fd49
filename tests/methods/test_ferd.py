"""FERD: its loss terms against independent computations, its switches, and that a stop changes nothing."""

from __future__ import annotations

import copy
import io
import math
from collections import OrderedDict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from dfrd_bench.methods.data_free.ferd import FERD, FERDConfig
from dfrd_bench.methods.data_free.ferd_released import FERDReleased, FERDReleasedConfig
from scipy.special import log_softmax, softmax
from torch import Tensor, nn
from torch.nn import functional as F

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.problem import Problem
from dfrd_bench.students.base import build_network

SHORT: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 12,
    "warmup_epochs": 1,
    "synthesis_steps": 2,
    "distillation_steps": 2,
    "attack_steps": 2,
    "probe_steps": 2,
    "bottleneck_steps": 3,
    "generator_width": 8,
    "latent_dim": 10,
}
X = tiny.random_images(12)
LABELS = torch.arange(12) % 4


def ferd(problem: Problem | None = None, **settings: Any) -> FERD:
    return FERD(problem or tiny.problem(), FERDConfig(**{**SHORT, **settings}))


def trained(epochs: int = 3, problem: Problem | None = None, **settings: Any) -> FERD:
    method = ferd(problem, **settings)
    for epoch in range(epochs):
        method.train_epoch(epoch)
    return method


def logits(model: nn.Module, x: Tensor) -> np.ndarray:
    with torch.no_grad():
        return model(x).double().numpy()


class Scaled(nn.Module):
    """Multiplies features so that the largest variance of a channel is what a noise scale begins with, about."""

    def __init__(self, *, largest_variance: float, of: nn.Module) -> None:
        super().__init__()
        kept: list[Tensor] = []
        hook = of.block3.register_forward_hook(lambda module, inputs, output: kept.append(output.detach()))
        logits(of, X)
        hook.remove()
        self.factor = math.sqrt(largest_variance / float(kept[0].flatten(2).var(2, correction=0).max()))

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


class TestGeneratorLoss:
    """Each weighted term by itself, in NumPy or by running the whole teacher with its features replaced."""

    def terms(self, method: FERD) -> dict[str, float]:
        method.student.eval()
        return {name: term.item() for name, term in method.generator_loss(X, LABELS).items()}

    def test_disagreement_is_minus_kl_of_teacher_and_student(self) -> None:
        method = ferd(lambda_adv=2.0)
        found = self.terms(method)["adv"]
        p = softmax(logits(method.problem.teacher, X), axis=1)
        q = softmax(logits(method.student, X), axis=1)
        assert found == pytest.approx(-2 * (p * np.log(p / q)).sum() / 12, rel=1e-4)

    def test_released_disagreement_is_the_double_sum_with_nearly_uniform_weights(self) -> None:
        method = ferd(loss="dkl")
        found = self.terms(method)["adv"]
        z_t, z_s = logits(method.problem.teacher, X), logits(method.student, X)
        expected = 0.0
        for t, s in zip(z_t, z_s, strict=True):
            share = softmax(t / 100)
            w = np.outer(share, share)
            gap = (t[:, None] - t[None, :]) - (s[:, None] - s[None, :])
            expected += (w * gap**2).sum() / w.sum() / 4 - (softmax(t) * log_softmax(s)).sum()
        assert found == pytest.approx(-expected / 12, rel=1e-4)

    def test_one_hot_is_cross_entropy_of_the_teacher(self) -> None:
        method = ferd(lambda_oh=3.0)
        chosen = log_softmax(logits(method.problem.teacher, X), axis=1)[np.arange(12), LABELS.numpy()]
        assert self.terms(method)["oh"] == pytest.approx(-3 * chosen.mean(), rel=1e-4)

    @pytest.mark.parametrize("models", ["teacher", "both"])
    def test_batchnorm_is_the_distance_summed_over_the_layers_of(self, models: str) -> None:
        method = ferd(bn_models=models)
        found = self.terms(method)["bn"]
        expected = 0.0
        for model in [method.problem.teacher] + ([method.student] if models == "both" else []):
            inputs: dict[nn.BatchNorm2d, np.ndarray] = {}
            hooks = [
                m.register_forward_pre_hook(lambda m, x, to=inputs: to.update({m: x[0].detach().double().numpy()}))
                for m in model.modules()
                if isinstance(m, nn.BatchNorm2d)
            ]
            logits(model, X)
            for hook in hooks:
                hook.remove()
            assert len(inputs) == 7  # of a WideResNet-10-1: two per block, and the last
            for layer, seen in inputs.items():
                assert layer.running_mean is not None
                assert layer.running_var is not None
                expected += np.linalg.norm(seen.mean((0, 2, 3)) - layer.running_mean.numpy())
                expected += np.linalg.norm(seen.var((0, 2, 3)) - layer.running_var.numpy())
        assert found == pytest.approx(5 * expected, rel=1e-4)

    @staticmethod
    def with_features(teacher: nn.Module, replacement: Tensor) -> Tensor:
        """The whole teacher, its last block's output replaced."""
        hook = teacher.block3.register_forward_hook(lambda *_: replacement)
        found = teacher(X)
        hook.remove()
        return found

    @pytest.mark.parametrize("noise", ["channel", "position"])
    @pytest.mark.parametrize("penalty", ["sum", "half-mean"])
    @pytest.mark.parametrize("ceiling", ["image", "batch"])
    def test_uniformity_is_that_of_a_bottleneck_run_through_the_whole_teacher(
        self, penalty: str, ceiling: str, noise: str
    ) -> None:
        problem = tiny.problem()
        problem.teacher.block3 = nn.Sequential(problem.teacher.block3, Scaled(largest_variance=0.5, of=problem.teacher))
        method = ferd(
            problem, lambda_uni=2.0, bottleneck_penalty=penalty, bottleneck_ceiling=ceiling, bottleneck_noise=noise
        )
        source = torch.Generator()
        source.set_state(method.rng.get_state())
        found = self.terms(method)["uni"]
        teacher = method.problem.teacher
        kept: list[Tensor] = []
        hook = teacher.block3.register_forward_hook(lambda module, inputs, output: kept.append(output.detach()))
        logits(teacher, X)
        hook.remove()
        z = kept[0]
        variance = z.flatten(2).var(2, correction=0)
        raw = torch.zeros(12, 64, requires_grad=True)
        adam = torch.optim.Adam([raw], lr=0.1)
        for _ in range(3):
            scale = F.softplus(raw)
            drawn = torch.randn(z.shape if noise == "position" else (12, 64, 1, 1), generator=source)
            noisy = z + scale[..., None, None] * drawn
            loss = F.cross_entropy(self.with_features(teacher, noisy), LABELS, reduction="sum")
            term = variance / scale**2 + (scale**2 / variance).log() - 1
            loss = loss + 0.3 * (term.sum() if penalty == "sum" else term.mean(1).sum() / 2)
            adam.zero_grad()
            loss.backward()
            adam.step()
        highest = variance.max(1, keepdim=True).values if ceiling == "image" else variance.max()
        mask = F.softplus(raw.detach()) ** 2 < highest
        assert 0 < mask.float().mean() < 1
        with torch.no_grad():
            f = self.with_features(teacher, mask[..., None, None] * z).double().softmax(1)
        expected = (0.25 * (0.25 / f).log()).sum(1).mean()
        assert found == pytest.approx(2 * expected.item(), rel=1e-3)

    def test_uniformity_has_a_gradient_in_the_images(self) -> None:
        method = ferd(lambda_adv=0, lambda_oh=0, lambda_bn=0)
        x = X.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(method.generator_loss(x, LABELS)["uni"], x)
        assert (gradient.abs().flatten(1).sum(1) > 0).float().mean() > 0.5  # images with a non-robust channel

    @pytest.mark.parametrize(
        ("settings", "gone"), [({"lambda_uni": 0}, "uni"), ({"fae": False}, "uni"), ({"lambda_bn": 0}, "bn")]
    )
    def test_a_term_switched_off_is_absent_and_the_others_stay(self, settings: dict[str, Any], gone: str) -> None:
        off, on = self.terms(ferd(**settings)), self.terms(ferd())
        assert set(on) - set(off) == {gone}
        assert all(off[name] == pytest.approx(on[name], rel=1e-5) for name in off)


class Told(nn.Module):
    """A teacher whose margin for class c is what it was told: images of class c have the grey value c/10."""

    def __init__(self, margins: list[float]) -> None:
        super().__init__()
        self.register_buffer("margins", torch.tensor(margins))

    def forward(self, x: Tensor) -> Tensor:
        c = (10 * x.mean((1, 2, 3))).round().long().clamp(0, len(self.margins) - 1)
        return F.one_hot(c, len(self.margins)) * self.margins[c][:, None] + 0 * x.sum((1, 2, 3))[:, None]


class TestReweighting:
    @staticmethod
    def told(margins: list[float], labels: Tensor = LABELS, **settings: Any) -> tuple[FERD, dict[str, float]]:
        method = ferd(tiny.problem(eps=0.01), **settings)
        method.problem = replace(method.problem, teacher=Told(margins))
        x = (labels / 10)[:, None, None, None].expand(-1, 1, 8, 8).clone()
        return method, method.after_synthesis(x, labels)

    def test_probabilities_are_the_softmax_of_the_negative_margins(self) -> None:
        method, numbers = self.told([3.0, 1.0, 0.5, 2.0])
        expected = softmax([-3.0, -1.0, -0.5, -2.0])
        assert method.class_probabilities().tolist() == pytest.approx(list(expected), abs=1e-6)
        assert [numbers[f"p/{k}"] for k in range(4)] == pytest.approx(list(expected), abs=1e-6)
        assert numbers["p_entropy"] == pytest.approx(-(expected * np.log(expected)).sum(), abs=1e-5)

    @pytest.mark.parametrize("strategy", ["softmax", "minmax"])
    def test_the_class_of_the_smallest_margin_is_favoured(self, strategy: str) -> None:
        method, _ = self.told([3.0, 1.0, 0.5, 2.0], strategy=strategy)
        assert method.class_probabilities().argsort().tolist() == [0, 3, 1, 2]

    def test_a_temperature_evens_the_classes_out(self) -> None:
        method, _ = self.told([3.0, 1.0, 0.5, 2.0], class_temperature=4.0)
        expected = softmax([-0.75, -0.25, -0.125, -0.5])
        assert method.class_probabilities().tolist() == pytest.approx(list(expected), abs=1e-6)

    def test_margins_of_probabilities_when_asked(self) -> None:
        method, _ = self.told([3.0, 1.0, 0.5, 2.0], margin="probabilities")
        d = []
        for m in (3.0, 1.0, 0.5, 2.0):
            p = softmax([m, 0, 0, 0])
            d.append(p[1] - p[0])
        assert method.class_probabilities().tolist() == pytest.approx(list(softmax(d)), abs=1e-5)

    def test_a_class_absent_from_the_batch_keeps_its_value(self) -> None:
        labels = torch.tensor([0, 1, 2] * 4)
        method, _ = self.told([3.0, 1.0, 0.5, 2.0], labels)
        assert method.class_probabilities().tolist() == pytest.approx(list(softmax([-3, -1, -0.5, 0])), abs=1e-6)
        method, _ = self.told([3.0, 1.0, 0.5, 2.0])
        method.problem = replace(method.problem, teacher=Told([1.0, 1.0, 1.0, 9.0]))
        method.after_synthesis((labels / 10)[:, None, None, None].expand(-1, 1, 8, 8).clone(), labels)
        assert method.class_probabilities().tolist() == pytest.approx(list(softmax([-1, -1, -1, -2])), abs=1e-6)

    def test_or_falls_back_to_zero_as_in_the_released_code(self) -> None:
        labels = torch.tensor([0, 1, 2] * 4)
        method, _ = self.told([3.0, 1.0, 0.5, 2.0], absent_class="zero")
        method.after_synthesis((labels / 10)[:, None, None, None].expand(-1, 1, 8, 8).clone(), labels)
        assert method.class_probabilities().tolist() == pytest.approx(list(softmax([-3, -1, -0.5, 0])), abs=1e-6)

    @pytest.mark.parametrize("images", ["kept", "last"])
    def test_margins_are_of_the_kept_batch_or_of_what_the_generator_was_last_shown(self, images: str) -> None:
        method = ferd(tiny.problem(eps=0.01), margin_images=images, crop_padding=0, flip=False)
        method.problem = replace(method.problem, teacher=Told([3.0, 1.0, 0.5, 2.0]))
        x = (LABELS / 10)[:, None, None, None].expand(-1, 1, 8, 8).clone()
        method.synthesis_view(torch.full_like(x, 0.2))  # class 2, whatever the label
        method.after_synthesis(x, LABELS)
        other = [-0.5 if k == 2 else 0.5 for k in range(4)]  # the margin of another class's image is its negative
        expected = softmax([-3.0, -1.0, -0.5, -2.0] if images == "kept" else other)
        assert method.class_probabilities().tolist() == pytest.approx(list(expected), abs=1e-6)

    def test_a_class_whose_synthesis_failed_is_named_and_others_are_not(self) -> None:
        """Images of class 3 look like class 2; half of those of class 1 do as well, which is just not a failure."""
        method = ferd(tiny.problem(eps=0.01))
        method.problem = replace(method.problem, teacher=Told([3.0, 3.0, 3.0, 3.0]))
        grey = torch.tensor([0, 1, 2, 2, 0, 2, 2, 2]) / 10
        x = grey[:, None, None, None].expand(-1, 1, 8, 8).clone()
        numbers = method.after_synthesis(x, torch.tensor([0, 1, 2, 3, 0, 1, 2, 3]))
        assert numbers["agree"] == pytest.approx(5 / 8)
        (found,) = method.findings()
        assert "1 of 4 classes" in found
        assert found.endswith(f"{method.problem.info.class_names[3]} (0 %)")
        assert ferd(reweighting=False).findings() == ()

    @pytest.mark.parametrize("strategy", ["power", "linear", "sigmoid", "tanh"])
    def test_a_class_never_seen_is_not_taken_for_the_most_vulnerable(self, strategy: str) -> None:
        method, _ = self.told([3.0, -1.0, 3.0, 3.0], torch.tensor([0, 1, 2] * 4), strategy=strategy, probe_steps=20)
        p = method.class_probabilities()
        assert p[3] < p[1]  # class 1 is misclassified at once, of class 3 nothing is known

    @pytest.mark.parametrize("off", [{"reweighting": False}, {"strategy": "uniform"}])
    def test_switched_off_leaves_the_classes_uniform(self, off: dict[str, Any]) -> None:
        method = trained(2, **off)
        assert method.class_probabilities().tolist() == [0.25] * 4
        _, numbers = self.told([3.0, 1.0, 0.5, 2.0], **off)
        assert numbers["p_entropy"] == pytest.approx(math.log(4))

    def test_labels_are_drawn_by_the_probabilities(self) -> None:
        method = ferd(batch_size=400, synthesis_steps=1, bottleneck_steps=1, reweighting=False)
        method.probabilities = torch.tensor([0.0, 0.7, 0.1, 0.2])
        method.synthesize_one_batch()
        shares = torch.bincount(method.pool.labels[:400], minlength=4) / 400
        assert shares[0] == 0
        torch.testing.assert_close(shares, method.probabilities, atol=0.07, rtol=0)


class TestDistillation:
    """Eq. 10 and 11, written out."""

    @pytest.mark.parametrize("attacked", ["student", "teacher"])
    @pytest.mark.parametrize(("gamma", "weight", "reduction"), [(0.5, 1 / 6, "batchmean"), (3.0, 0.75, "mean")])
    def test_loss_is_that_of_the_equations(self, attacked: str, gamma: float, weight: float, reduction: str) -> None:
        method = ferd(
            attack_model=attacked,
            gamma=gamma,
            adversarial_weight=weight,
            reduction=reduction,
            attack_steps=3,
            attack_step=0.03,
        )
        student, teacher, eps = method.student.eval(), method.problem.teacher, method.problem.threat.eps
        target = teacher(X)
        found = method.distillation(student, X, target, torch.Generator().manual_seed(5))["student"]

        def divergence(p: Tensor, q: Tensor) -> Tensor:
            return (p * (p / q).log()).sum(1)

        noise = 0.001 * torch.randn(X.shape, generator=torch.Generator().manual_seed(5))
        x_u, model = (X + noise).clamp(0, 1), student if attacked == "student" else teacher
        for _ in range(3):
            x_u = x_u.detach().requires_grad_()
            f = model(x_u).softmax(1)
            value = divergence(target.softmax(1), f) - gamma * divergence(torch.full_like(f, 0.25), f)
            (slope,) = torch.autograd.grad(value.sum(), x_u)
            x_u = torch.minimum(torch.maximum(x_u.detach() + 0.03 * slope.sign(), X - eps), X + eps).clamp(0, 1)
        clean, robust = (divergence(target.softmax(1), student(x).softmax(1)).mean() for x in (X, x_u))
        expected = ((1 - weight) * clean + weight * robust) / (4 if reduction == "mean" else 1)
        assert found.item() == pytest.approx(expected.item(), rel=1e-4)
        assert abs(robust - clean) > 1e-3 * clean  # so that the weights matter


class TestSwitches:
    def test_utae_off_is_gamma_zero(self) -> None:
        off, zero, on = trained(2, utae=False), trained(2, gamma=0.0), trained(2)
        assert tiny.same(off.student, zero.student)
        assert not tiny.same(off.student, on.student)

    @pytest.mark.parametrize("settings", [{"attack_model": "teacher"}, {"conversion": False}, {"loss": "dkl"}])
    def test_a_variant_trains_and_differs(self, settings: dict[str, Any]) -> None:
        variant = trained(2, **settings)
        assert not tiny.same(variant.student, trained(2).student)
        assert all(torch.isfinite(t).all() for t in variant.student.state_dict().values())

    def test_warmup_leaves_the_student_alone(self) -> None:
        method = ferd()
        before = copy.deepcopy(method.student)
        numbers = method.train_epoch(0)
        assert tiny.same(method.student, before)
        assert "loss" not in numbers
        assert len(method.pool) == 12
        numbers = method.train_epoch(1)
        assert not tiny.same(method.student, before)
        assert {"loss", "lr", "loss_adv", "loss_bn", "loss_oh", "loss_uni", "p_entropy"} <= set(numbers)
        assert all(math.isfinite(value) for value in numbers.values())

    def test_a_teacher_that_cannot_be_split_serves_without_fairness_aware_examples(self) -> None:
        class Untraceable(tiny.SmallConv):
            def forward(self, x: Tensor) -> Tensor:
                return super().forward(x) if x.sum() >= 0 else x

        problem = tiny.problem(teacher=Untraceable(num_classes=4))
        with pytest.raises(DfrdBenchError, match="cannot be split"):
            ferd(problem, lambda_bn=0)
        trained(2, problem, lambda_bn=0, fae=False)

    def test_a_teacher_without_batchnorm_is_refused_unless_its_weight_is_zero(self) -> None:
        problem = tiny.problem(teacher=tiny.SmallConv(num_classes=4))
        with pytest.raises(DfrdBenchError, match=r"ferd's L_bn .* SmallConv has none"):
            ferd(problem)
        trained(2, problem, lambda_bn=0)

    def test_the_paper_s_numbers_are_the_defaults(self) -> None:
        c = FERDConfig()
        assert (c.lambda_adv, c.lambda_bn, c.lambda_oh, c.lambda_uni, c.gamma) == (1, 5, 1, 5, 0.5)
        assert (c.epochs, c.synthesis_steps, c.distillation_steps, c.batch_size) == (220, 200, 400, 256)
        assert (c.lr, c.momentum, c.weight_decay, c.generator_lr, c.latent_lr) == (0.1, 0.9, 5e-4, 2e-3, 0.015)
        assert c.adversarial_weight == pytest.approx(1 / 6)
        assert (c.bottleneck_beta, c.bottleneck_lr, c.bottleneck_steps, c.probe_steps) == (0.3, 0.1, 50, 20)


class TestState:
    @pytest.mark.parametrize("reinitialise", [True, False])
    @pytest.mark.parametrize("stop", [1, 2])
    def test_a_run_stopped_and_resumed_gives_the_same_student(self, stop: int, reinitialise: bool) -> None:
        whole = trained(3, reinitialise=reinitialise)
        first = trained(stop, reinitialise=reinitialise)
        file = io.BytesIO()
        torch.save(first.state_dict(), file)
        file.seek(0)
        second = ferd(tiny.problem(seed=0), reinitialise=reinitialise)
        second.load_state_dict(torch.load(file, weights_only=True))
        for epoch in range(stop, 3):
            second.train_epoch(epoch)
        assert tiny.same(second.student, whole.student)
        assert torch.equal(second.sample(36), whole.sample(36))
        assert torch.equal(second.probabilities, whole.probabilities)

    def test_state_of_another_method_is_refused(self) -> None:
        state = ferd().state_dict()
        del state["pool"]
        with pytest.raises(KeyError, match="pool"):
            ferd().load_state_dict(state)

    def test_a_seed_fixes_the_student_whatever_the_global_state(self) -> None:
        students = []
        for global_seed, seed in ((1, 0), (2, 0), (1, 5)):
            with torch.random.fork_rng():
                torch.manual_seed(global_seed)
                students.append(trained(2, tiny.problem(seed=seed)).student)
        assert tiny.same(students[0], students[1])
        assert not tiny.same(students[0], students[2])

    def test_the_teacher_and_the_global_random_state_stay_as_they_were(self, unmoved_rng: None) -> None:
        problem = tiny.problem()
        before = copy.deepcopy(problem.teacher)
        trained(2, problem, attack_model="teacher")
        assert tiny.same(problem.teacher, before)
        assert not any(m.training for m in problem.teacher.modules())
        assert not any(p.requires_grad or p.grad is not None for p in problem.teacher.parameters())
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in problem.teacher.modules())


class TestReleased:
    """What `ferd-released` has beside other defaults; file and line of the released code are in the assertions' order there."""

    def released(self, teacher: str, **settings: Any) -> FERDReleased:
        network = build_network(teacher, channels=1, num_classes=4, seed=0)
        problem = tiny.problem(teacher=network.eval().requires_grad_(False))
        return FERDReleased(problem, FERDReleasedConfig(**{**SHORT, **settings}))

    @pytest.mark.parametrize(("teacher", "layer"), [("wrn-10-1", "bn1"), ("preactresnet-18", "layer3")])
    def test_splits_where_its_networks_are_split(self, teacher: str, layer: str) -> None:
        """wideresnet_ifd.py:142-144, preactresnet_ifd.py with --int_pop 3."""
        split = self.released(teacher).split
        assert split is not None
        assert split.layer == layer

    def test_is_not_misled_by_parts_that_other_wide_resnets_have_beside_their_blocks(self) -> None:
        """RobustBench's have a `sub_block1` between the first block and the second."""
        method = self.released("wrn-10-1")
        children = dict(method.problem.teacher.named_children())
        method.problem = replace(method.problem, teacher=nn.Sequential(OrderedDict()))
        for name in ("conv1", "block1", "sub_block1", "block2", "block3", "bn1", "fc"):
            method.problem.teacher.add_module(name, copy.deepcopy(children[name.removeprefix("sub_")]))
        assert method.split_layer() == "bn1"

    def test_splits_before_relu(self) -> None:
        method = self.released("wrn-10-1")
        assert method.split is not None
        with method.split.record(), torch.no_grad():
            method.problem.teacher(X)
        assert (method.split.features < 0).any()

    def test_a_layer_that_is_named_is_used(self) -> None:
        split = self.released("wrn-10-1", layer="block2").split
        assert split is not None
        assert split.layer == "block2"

    def test_cosine_runs_through_the_warm_up(self) -> None:
        method = self.released("wrn-10-1", epochs=4, warmup_epochs=2, lr=0.4)
        rates = [method.set_learning_rate(epoch) for epoch in range(4)]
        assert rates == pytest.approx([0.2 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(4)])

    @pytest.mark.parametrize(("classes", "expected"), [(10, {}), (100, {"batch_size": 512, "lr": 0.2})])
    def test_its_scripts_learning_rates(self, classes: int, expected: dict[str, float]) -> None:
        assert FERDReleasedConfig.for_classes(classes) == expected


def test_another_shape_works() -> None:
    method = trained(2, tiny.problem(channels=3, size=12, classes=3))
    images = method.sample(5)
    assert images.shape == (5, 3, 12, 12)
    assert images.min() >= 0
    assert images.max() <= 1
    assert method.student(images).shape == (5, 3)


def test_synthesis_lowers_its_loss_and_keeps_the_best_batch() -> None:
    method = ferd(synthesis_steps=25, batch_size=32, lambda_uni=0, crop_padding=0, flip=False, bn_models="teacher")
    labels = torch.arange(32) % 4
    seen: list[tuple[float, Tensor]] = []
    original = method.generator_loss

    def watched(x: Tensor, y: Tensor) -> dict[str, Tensor]:
        terms = original(x, y)
        seen.append((sum(terms.values()).item(), x.detach().clone()))
        return terms

    method.generator_loss = watched  # type: ignore[method-assign]
    best, _ = method.synthesize(labels)
    value, images = min(seen, key=lambda pair: pair[0])
    assert torch.equal(best, images)
    assert value < seen[0][0] - 1
