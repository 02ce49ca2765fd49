"""Robust training: its losses, inner attack, averaging and seeds, and the weights that come with the package."""

from __future__ import annotations

import copy
import io
import math
from importlib.resources import as_file, files
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from dfrd_bench.teachers.training import (
    Adversary,
    TeacherConfig,
    TeacherTraining,
    WeightAverage,
    adversarial_training_loss,
    trades_loss,
)
from pydantic import ValidationError
from torch import Tensor, nn

from dfrd_bench.attacks.clean import clean
from dfrd_bench.attacks.projected_gradient import pgd20
from dfrd_bench.datasets.digits import Digits
from dfrd_bench.distillation.augmentation import augment
from dfrd_bench.distillation.losses import kl_per_image
from dfrd_bench.distillation.schedules import one_cycle
from dfrd_bench.evaluation.evaluate import predict_under_attack
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import DatasetInfo, Precision, ThreatModel
from dfrd_bench.students.base import build_network
from dfrd_bench.teachers.checkpoint import load_file
from dfrd_bench.testing.untouched import difference

CPU = torch.device("cpu")
EPS = 0.1
CLEAN, PGD20 = 0.97, 0.77  # of the shipped teacher, below what was measured


def adversary(steps: int = 5, seed: int = 0) -> Adversary:
    return Adversary(
        eps=EPS, step=EPS / 4, steps=steps, precision=Precision(), generator=torch.Generator().manual_seed(seed)
    )


def batch(n: int = 16) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(n, 1, 8, 8, generator=generator), torch.randint(10, (n,), generator=generator)


def network(seed: int = 0) -> nn.Module:
    return build_network("wrn-10-1", channels=1, num_classes=10, seed=seed)


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


class Fixed(Adversary):
    """An adversary that answers with images known beforehand."""

    def against_clean(self, model: nn.Module, x: Tensor) -> Tensor:
        return 1 - x

    def against_label(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return 1 - x


@pytest.fixture
def fixed() -> Fixed:
    return Fixed(eps=1, step=1, steps=1, precision=Precision(), generator=torch.Generator())


class TestLosses:
    def test_trades_is_the_formula_of_the_paper_in_numpy(self, fixed: Fixed) -> None:
        (x, y), model = batch(), network().eval()
        loss = trades_loss(model, x, y, fixed, TeacherConfig(beta=3.5))
        with torch.no_grad():
            p, q = (softmax(model(images).numpy().astype(np.float64)) for images in (x, 1 - x))
        natural = -np.log(p[np.arange(len(y)), y.numpy()]).mean()
        robust = (p * np.log(p / q)).sum(axis=1).mean()
        assert loss.item() == pytest.approx(natural + 3.5 * robust, rel=1e-5)

    def test_trades_gradient_flows_through_both_predictions(self) -> None:
        z, w = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        assert torch.autograd.gradcheck(kl_per_image, (z.requires_grad_(), w.requires_grad_()))
        assert kl_per_image(z, z).abs().max() < 1e-12

    def test_adversarial_training_is_smoothed_cross_entropy_on_the_attacked_images(self, fixed: Fixed) -> None:
        (x, y), model = batch(), network().eval()
        loss = adversarial_training_loss(model, x, y, fixed, TeacherConfig(label_smoothing=0.2))
        with torch.no_grad():
            q = softmax(model(1 - x).numpy().astype(np.float64))
        target = np.full_like(q, 0.2 / 10)
        target[np.arange(len(y)), y.numpy()] += 0.8
        assert loss.item() == pytest.approx(-(target * np.log(q)).sum(axis=1).mean(), rel=1e-5)


class TestInnerAttack:
    @pytest.mark.parametrize("aim", ["label", "clean"])
    def test_stays_in_the_ball_and_beats_random_noise(self, aim: str) -> None:
        (x, y), model = batch(), network()
        attack = adversary(steps=10)
        x_adv = attack.against_label(model, x, y) if aim == "label" else attack.against_clean(model, x)
        noise = torch.where(torch.rand(x.shape, generator=torch.Generator().manual_seed(2)) < 0.5, -EPS, EPS)
        with torch.no_grad():
            clean, attacked, noisy = (model.eval()(images) for images in (x, x_adv, (x + noise).clamp(0, 1)))
        if aim == "label":
            gained, by_chance = (nn.functional.cross_entropy(z, y, reduction="none") for z in (attacked, noisy))
        else:
            gained, by_chance = kl_per_image(clean, attacked), kl_per_image(clean, noisy)
        assert (x_adv - x).abs().max() <= EPS + 1e-6
        assert x_adv.min() >= 0
        assert x_adv.max() <= 1
        assert (gained > by_chance).float().mean() > 0.9

    def test_leaves_statistics_gradients_and_mode_alone(self) -> None:
        (x, y), model = batch(), network().train()
        before = copy.deepcopy(model.state_dict())
        adversary().against_label(model, x, y)
        adversary().against_clean(model, x)
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
        assert all(p.grad is None for p in model.parameters())
        assert all(module.training for module in model.modules())


class TestAugmentation:
    def test_shifts_are_those_of_numpy(self) -> None:
        images = torch.rand(64, 2, 5, 7, generator=torch.Generator().manual_seed(0))
        made = augment(images, padding=2, flip=False, generator=torch.Generator().manual_seed(3)).numpy()
        corners = torch.randint(5, (2, 64, 1), generator=torch.Generator().manual_seed(3))[..., 0].numpy()
        padded = np.pad(images.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)))
        for i, (top, left) in enumerate(corners.T):
            np.testing.assert_array_equal(made[i], padded[i, :, top : top + 5, left : left + 7])
        assert len({tuple(corner) for corner in corners.T}) > 15  # of 25 places

    def test_mirrors_half_the_images_and_only_when_told(self) -> None:
        images = torch.rand(400, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        same = augment(images, padding=0, flip=False, generator=torch.Generator().manual_seed(0))
        made = augment(images, padding=0, flip=True, generator=torch.Generator().manual_seed(0))
        kept = (made == images).flatten(1).all(1)
        mirrored = (made == images.flip(3)).flatten(1).all(1)
        assert torch.equal(same, images)
        assert (kept ^ mirrored).all()
        assert 150 < mirrored.sum() < 250

    def test_bytes_stay_bytes_and_equal_seeds_agree(self) -> None:
        images = torch.randint(256, (9, 3, 8, 8), dtype=torch.uint8)
        one, two = (augment(images, padding=1, flip=True, generator=torch.Generator().manual_seed(5)) for _ in "ab")
        assert one.dtype == torch.uint8
        assert one.shape == images.shape
        assert torch.equal(one, two)

    def test_negative_padding_is_refused(self) -> None:
        with pytest.raises(ValueError, match="padding must be 0 or more"):
            augment(torch.zeros(1, 1, 4, 4), padding=-1, flip=False, generator=torch.Generator())


class TestWeightAverage:
    def test_is_the_weighted_sum_of_every_state_seen(self) -> None:
        model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        average = WeightAverage(model, decay=0.3)
        history = [copy.deepcopy(model.state_dict())]
        for _ in range(6):
            for tensor in model.state_dict().values():
                tensor.add_(1) if tensor.dtype == torch.int64 else tensor.normal_()
            average.update(model)
            history.append(copy.deepcopy(model.state_dict()))
        decays = [min(0.3, (1 + n) / (10 + n)) for n in range(6)]  # 0.1, 0.18, 0.25, 0.3, 0.3, 0.3
        weights = [math.prod(decays)]
        weights += [(1 - decays[n]) * math.prod(decays[n + 1 :]) for n in range(6)]
        assert sum(weights) == pytest.approx(1)
        for name, value in average.model.state_dict().items():
            if value.is_floating_point():
                torch.testing.assert_close(
                    value, sum(w * state[name] for w, state in zip(weights, history, strict=True))
                )
            else:
                assert value == 6

    def test_without_decay_is_the_last_state(self) -> None:
        model = nn.Linear(2, 2)
        average = WeightAverage(model, decay=0.0)
        nn.init.constant_(model.weight, 7.0)
        average.update(model)
        assert torch.equal(average.model.weight, model.weight)
        assert average.model.weight is not model.weight


def test_learning_rate_rises_in_a_line_and_falls_to_zero() -> None:
    assert [one_cycle(p, 0.2) for p in (0, 0.1, 0.2, 0.6, 1)] == pytest.approx([0, 0.5, 1, 0.5, 0])
    assert one_cycle(0, 0) == 1


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"ema": 1.0}, {"method": "pgd"}, {"inner_step": 0}, {"lr": 0}])
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TeacherConfig.model_validate(wrong)


def digits_training(**changes: Any) -> TeacherTraining:
    """On 100 digits, with a small network, two epochs of four steps."""
    images = Digits().load("train")
    settings: dict[str, Any] = {"epochs": 2, "batch_size": 25, "inner_steps": 1, "padding": 1}
    settings.update({name: value for name, value in changes.items() if name in TeacherConfig.model_fields})
    return TeacherTraining(
        LabelledImages(images.images[:100], images.labels[:100]),
        Digits.info,
        architecture="wrn-10-1",
        config=TeacherConfig(**settings),
        threat=ThreatModel(eps=0.2, step=0.05),
        seed=changes.get("seed", 0),
        device=CPU,
        precision=Precision(changes.get("precision", "fp32")),
    )


class TestTraining:
    @staticmethod
    def trained(**changes: Any) -> nn.Module:
        training = digits_training(epochs=1, **changes)
        assert math.isfinite(training.train_epoch(0)["loss"])
        assert not training.average.model.training
        return training.average.model

    def test_a_seed_fixes_the_weights_and_leaves_the_global_state_alone(self) -> None:
        state = torch.get_rng_state()
        one = self.trained()
        assert torch.equal(torch.get_rng_state(), state)
        assert tiny.same(one, self.trained())
        assert not torch.equal(one.fc.weight, self.trained(seed=1).fc.weight)

    def test_the_two_methods_differ(self) -> None:
        assert not torch.equal(self.trained().fc.weight, self.trained(method="at").fc.weight)

    @pytest.mark.parametrize(("method", "precision"), [("trades", "fp32"), ("at", "bf16")])
    def test_a_state_kept_in_a_file_brings_everything_back(self, method: str, precision: str) -> None:
        whole, stopped = (digits_training(method=method, precision=precision) for _ in "ab")
        for training in (whole, stopped):
            training.train_epoch(0)
        kept = io.BytesIO()
        torch.save(stopped.state_dict(), kept)
        kept.seek(0)
        resumed = digits_training(method=method, precision=precision)
        assert difference(resumed.state_dict(), stopped.state_dict()) is not None
        resumed.load_state_dict(torch.load(kept, weights_only=True))
        assert difference(resumed.state_dict(), stopped.state_dict()) is None
        assert resumed.train_epoch(1) == whole.train_epoch(1)
        assert difference(resumed.state_dict(), whole.state_dict()) is None
        assert {"model", "average", "optimizer", "generator"} == whole.state_dict().keys()
        assert whole.average.updates == 8

    @pytest.mark.parametrize(
        ("architecture", "channels"), [("mobilenet-v2", 1), ("preactresnet-18", 3), ("resnet-18", 1), ("wrn:10-1", 3)]
    )
    def test_any_architecture_learns_from_few_tiny_images_of_any_kind(self, architecture: str, channels: int) -> None:
        """3 images in batches of 2 would leave one alone, where BatchNorm has nothing to normalise."""
        images = LabelledImages(torch.randint(256, (3, channels, 8, 8), dtype=torch.uint8), torch.tensor([0, 1, 2]))
        training = TeacherTraining(
            images,
            DatasetInfo(name="tiny", shape=(channels, 8, 8), class_names=("a", "b", "c")),
            architecture=architecture,
            config=TeacherConfig(method="at", epochs=1, batch_size=2, inner_steps=1),
            threat=ThreatModel(),
            seed=0,
            device=CPU,
            precision=Precision(),
        )
        before = copy.deepcopy(training.average.model)
        assert math.isfinite(training.train_epoch(0)["loss"])
        assert not tiny.same(before, training.average.model)
        assert training.average.model(images.floats()).shape == (3, 3)

    def test_digits_recipe_is_valid(self) -> None:
        assert TeacherConfig.model_validate(Digits.teacher_recipe) != TeacherConfig()


class TestShippedTeacher:
    @pytest.fixture
    def model(self) -> nn.Module:
        with as_file(files("dfrd_bench.teachers") / "weights" / "digits-wrn-10-2.safetensors") as path:
            return load_file(path, Digits.info, "wrn-10-2").model.eval()

    def test_is_accurate_robust_and_unfair(self, model: nn.Module) -> None:
        everything = Digits().load("test")
        test = LabelledImages(everything.images[:400], everything.labels[:400])
        hits = {
            attack: predict_under_attack(attack, model, test, threat=Digits.threat, device=CPU, seed=0) == test.labels
            for attack in (clean, pgd20)
        }
        per_class = [hits[pgd20][test.labels == c].float().mean().item() for c in range(10)]
        assert hits[clean].float().mean() > CLEAN
        assert hits[pgd20].float().mean() > PGD20
        assert min(per_class) < np.mean(per_class) - 0.1

    def test_its_batchnorm_statistics_are_those_of_the_training_images(self, model: nn.Module) -> None:
        images = Digits().load("train").floats()
        seen: dict[str, tuple[Tensor, Tensor]] = {}
        layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.BatchNorm2d)}
        hooks = [
            layer.register_forward_pre_hook(
                lambda _, x, name=name: seen.update({name: (x[0].mean((0, 2, 3)), x[0].var((0, 2, 3)))})
            )
            for name, layer in layers.items()
        ]
        with torch.no_grad():
            model(images)
        for hook in hooks:
            hook.remove()
        for name, layer in layers.items():
            mean, variance = seen[name]
            assert ((mean - layer.running_mean).abs() / layer.running_var.sqrt()).mean() < 0.25
            assert (variance / layer.running_var).log().abs().mean() < math.log(1.5)
