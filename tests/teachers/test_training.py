"""The recipe by which teachers are trained, against a plain loop of it, and what a seed decides."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dfrd_bench.attacks.surrogate import StandIns
from dfrd_bench.datasets.base import TEACHER_PRESET, TEACHER_RECIPE
from dfrd_bench.datasets.digits import Digits
from dfrd_bench.distillation.learner import Learner
from dfrd_bench.method import MethodConfig
from dfrd_bench.problem import DatasetInfo, Precision, ThreatModel, TrainingProblem
from dfrd_bench.registry import METHODS
from dfrd_bench.runs.preparation import budget_of
from dfrd_bench.students.base import build_network
from dfrd_bench.teachers.nobody import nobody

CPU = torch.device("cpu")
EPS, STEP = 0.2, 0.05


def problem(
    images: Tensor, labels: Tensor, *, architecture: str = "wrn-10-1", classes: int = 10, seed: int = 0, **others: Any
) -> TrainingProblem:
    """For a teacher of the first few classes, without augmentation by mirroring."""
    shape, precision = tuple(images.shape[1:]), others.get("precision", Precision())
    network = build_network(architecture, channels=shape[0], num_classes=classes, seed=seed)
    return TrainingProblem(
        teacher=nobody().model,
        student=precision.place(network, CPU),
        info=DatasetInfo(name="few", shape=shape, class_names=tuple(map(str, range(classes))), mirrored=False),  # type: ignore[arg-type]
        threat=ThreatModel(eps=EPS, step=STEP),
        device=CPU,
        precision=precision,
        seed=seed,
        images=images,
        labels=labels,
    )


def config(method: str, **changes: Any) -> MethodConfig:
    """That of the preset by which teachers are trained, at two epochs of one attack step."""
    budget = budget_of(METHODS.get(method), 10, Digits.presets_of("training images")[TEACHER_PRESET])
    small = {"epochs": 2, "batch_size": 25, "crop_padding": 1}
    small |= {"attack_steps": 1} if method != "natural" else {}
    made: MethodConfig = METHODS.get(method).Config(**{**budget, **small, **changes})
    return made


def digits_training(method: str = "trades", *, seed: int = 0, precision: str = "fp32", **changes: Any) -> Learner:
    """On 100 digits, with a small network, two epochs of four steps."""
    whole = Digits().load("train")
    images = (whole.images[:100] * 255).round().to(torch.uint8)
    given = problem(images, whole.labels[:100], seed=seed, precision=Precision(precision))  # type: ignore[arg-type]
    made: Learner = METHODS.get(method)(given, config(method, **changes))
    return made


def trained(method: str = "trades", **changes: Any) -> nn.Module:
    training = digits_training(method, epochs=1, **changes)
    assert math.isfinite(training.train_epoch(0)["loss"])
    return training.student


class TestRecipe:
    def test_is_the_literatures_under_the_datasets_own(self) -> None:
        found = Digits.presets_of("training images")[TEACHER_PRESET]
        assert {name: value for name, value in found.items() if value != TEACHER_RECIPE.get(name)} == {
            "epochs": 40,
            "batch_size": 64,
            "weight_decay": 5e-3,
            "ema": 0.99,
            "crop_padding": 0,
        }
        assert TEACHER_PRESET not in Digits.presets_of("nothing")

    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    @pytest.mark.parametrize("method", ["natural", "sat", "trades"])
    def test_is_this_loop(self, monkeypatch: pytest.MonkeyPatch, method: str, smoothing: float) -> None:
        """To the bit, but for the attack, which the harness runs on a folded copy: here on the network itself."""
        monkeypatch.setattr(StandIns, "of", lambda self, model, example: model)
        training = digits_training(method, batch_size=32, ema=0.9, label_smoothing=smoothing, **LONGER.get(method, {}))
        images, labels = training.problem.images.float() / 255, training.problem.labels
        model, expected = plainly_trained(copy.deepcopy(training.student), images, labels, method, smoothing)
        losses = [training.train_epoch(epoch)["loss"] for epoch in range(2)]
        assert losses == pytest.approx(expected, rel=1e-6)
        assert tiny.same(training.student, model)


LONGER = {"sat": {"attack_steps": 3}, "trades": {"attack_steps": 3}}


def plainly_trained(
    model: nn.Module, images: Tensor, labels: Tensor, method: str, smoothing: float
) -> tuple[nn.Module, list[float]]:
    """Two epochs of four steps on 100 images, in PyTorch alone; the averaged network and each epoch's mean loss."""
    draws = torch.Generator().manual_seed(0)
    average = copy.deepcopy(model)
    optimiser = torch.optim.SGD(model.parameters(), 1.0, momentum=0.9, weight_decay=5e-3, nesterov=True)
    losses, step = [], 0
    for _ in range(2):
        found = []
        for index in torch.randperm(100, generator=draws).tensor_split(4):
            x, y = cropped(images[index], draws), labels[index]
            step += 1
            progress = step / (2 * 4 + 1)
            cosine = (1 + math.cos(math.pi * (progress - 0.1) / 0.9)) / 2
            optimiser.param_groups[0]["lr"] = 0.1 * (progress / 0.1 if progress < 0.1 else cosine)
            x_adv = x if method == "natural" else attacked(model, x, y, method, draws)
            model.train()
            if method == "trades":
                clean, adversarial = model(torch.cat([x, x_adv]).contiguous(memory_format=torch.channels_last)).chunk(2)
                log_p, log_q = clean.log_softmax(1), adversarial.log_softmax(1)
                loss = F.cross_entropy(clean, y, label_smoothing=smoothing)
                loss = loss + (6 * (log_p.exp() * (log_p - log_q)).sum(1)).mean()
            else:
                logits = model(x_adv.contiguous(memory_format=torch.channels_last))
                loss = F.cross_entropy(logits, y, label_smoothing=smoothing)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            decay = min(0.9, step / (step + 9))
            for old, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
                old.lerp_(new, 1 - decay) if old.is_floating_point() else old.copy_(new)
            found.append(loss.item())
        losses.append(sum(found) / len(found))
    return average, losses


def cropped(images: Tensor, draws: torch.Generator) -> Tensor:
    """Each image shifted by up to a pixel each way, black coming in."""
    rows, columns = torch.randint(3, (2, len(images), 1), generator=draws)[..., 0].tolist()
    padded = F.pad(images, (1, 1, 1, 1))
    return torch.stack([p[:, r : r + 8, c : c + 8] for p, r, c in zip(padded, rows, columns, strict=True)])


def attacked(model: nn.Module, x: Tensor, y: Tensor, method: str, draws: torch.Generator) -> Tensor:
    """Three steps away from the label, or from the clean prediction."""
    model.eval()
    if method == "sat":
        x_adv = x + EPS * (2 * torch.rand(x.shape, generator=draws) - 1)
    else:
        x_adv = x + 0.001 * torch.randn(x.shape, generator=draws)
    with torch.no_grad():
        log_p = model(x.contiguous(memory_format=torch.channels_last)).log_softmax(1)
    x_adv = x_adv.clamp(x - EPS, x + EPS).clamp(0, 1)
    for _ in range(3):
        x_adv.requires_grad_()
        log_q = model(x_adv.contiguous(memory_format=torch.channels_last)).log_softmax(1)
        distance = F.nll_loss(log_q, y, reduction="sum") if method == "sat" else (log_p.exp() * (log_p - log_q)).sum()
        (gradient,) = torch.autograd.grad(distance, x_adv)
        x_adv = (x_adv.detach() + STEP * gradient.sign()).clamp(x - EPS, x + EPS).clamp(0, 1)
    return x_adv


class TestTraining:
    def test_a_seed_fixes_the_weights_and_leaves_the_global_state_alone(self) -> None:
        state = torch.get_rng_state()
        one = trained()
        assert torch.equal(torch.get_rng_state(), state)
        assert tiny.same(one, trained())
        assert not torch.equal(one.fc.weight, trained(seed=1).fc.weight)

    def test_the_methods_differ(self) -> None:
        weights = [trained(method).fc.weight for method in ("trades", "sat", "natural")]
        assert not any(torch.equal(weights[i], weights[i - 1]) for i in range(3))

    @pytest.mark.parametrize(
        ("architecture", "channels"), [("mobilenet-v2", 1), ("preactresnet-18", 3), ("resnet-18", 1), ("wrn:10-1", 3)]
    )
    def test_any_architecture_learns_from_few_tiny_images_of_any_kind(self, architecture: str, channels: int) -> None:
        """3 images in batches of 2 would leave one alone, where BatchNorm has nothing to normalise."""
        images = torch.randint(256, (3, channels, 8, 8), dtype=torch.uint8)
        given = problem(images, torch.tensor([0, 1, 2]), architecture=architecture, classes=3)
        given = replace(given, info=given.info.model_copy(update={"mirrored": True}))
        training = METHODS.get("sat")(given, config("sat", epochs=1, batch_size=2))
        before = copy.deepcopy(training.student)
        assert math.isfinite(training.train_epoch(0)["loss"])
        assert not tiny.same(before, training.student)
        assert training.student.eval()(images.float() / 255).shape == (3, 3)
