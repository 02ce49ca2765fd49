"""The teacher that comes with the package is what its record and the datasets' presets take it for."""

from __future__ import annotations

import math
from importlib.resources import as_file, files

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dfrd_bench.attacks.clean import clean
from dfrd_bench.attacks.projected_gradient import pgd20
from dfrd_bench.datasets.base import open_dataset
from dfrd_bench.datasets.digits import Digits
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.evaluate import predict_under_attack
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import Precision
from dfrd_bench.teachers.base import load_teacher
from dfrd_bench.teachers.checkpoint import load_file

CPU = torch.device("cpu")
CLEAN, PGD20 = 0.97, 0.77  # of the shipped teacher, below what was measured


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


@pytest.mark.parametrize("name", ["digits-wrn-10-2", "digits-natural-wrn-10-1"])
def test_teachers_of_digits_are_of_its_other_division_too_and_of_no_other_dataset(name: str) -> None:
    one, other = (
        load_teacher(name, open_dataset(data).info, architecture=None, device=CPU, precision=Precision())
        for data in ("digits", "digits-tuning")
    )
    assert one.record == other.record
    with pytest.raises(DfrdBenchError, match="was trained on digits, not on svhn"):
        load_teacher(name, open_dataset("svhn").info, architecture=None, device=CPU, precision=Precision())
