"""Hyper-parameters that are said to have no effect have none, and null comes to what is said of it: held against training."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dfrd_bench.method import Method, MethodConfig
from dfrd_bench.problem import DatasetInfo, ThreatModel
from dfrd_bench.registry import METHODS
from dfrd_bench.testing import tiny_config
from dfrd_bench.testing.toys import problem_for
from dfrd_bench.testing.untouched import difference

OTHER: dict[str, Any] = {
    **{"attack_steps": 1, "attack_step": 0.07, "attack_start": "uniform", "attack_mode": "train", "beta": 1.0},
    **{"clamp": "released", "count": "all", "sizes": "equal", "adversarial_weight": 0.3, "reduction": "mean"},
    **{"temperature": 3.0, "alpha": 0.4, "trust_exponent": 0.9, "begin": 0.9, "robust_weight": 1.0},
    **{"temperature_rate": 0.9, "temperatures": "released", "risk": "sum", "gradient_weight": 3.0, "defer": True},
    **{"lambda_uni": 2.0, "layer": "block2", "bottleneck_beta": 0.9, "bottleneck_lr": 0.3, "bottleneck_steps": 1},
    **{"bottleneck_penalty": "sum", "bottleneck_ceiling": "batch", "bottleneck_noise": "position"},
    **{
        "bottleneck_variance": "unbiased",
        "gamma": 0.9,
        "bn_models": "both",
        "strategy": "tanh",
        "margin": "probabilities",
    },
    **{"margin_images": "last", "absent_class": "zero", "class_temperature": 4.0, "class_unit": "spread"},
    **{"probe_steps": 1, "utae": False, "attack_model": "teacher", "lr_warmup": 0.5, "decay": 0.5, "decay_at": (0.2,)},
    **{"crop_padding": 3, "flip": False},
}
"""Of each a value; where it has that here, its default is another."""


def other(config: MethodConfig, field: str) -> Any:
    value = OTHER[field]
    return value if getattr(config, field) != value else type(config).model_fields[field].default


def trained(method: type[Method], config: MethodConfig, size: int = 8) -> dict[str, torch.Tensor]:
    made = method(problem_for(method, (1, size, size), 3), config)
    for epoch in range(config.epochs):
        made.train_epoch(epoch)
    return {name: value.clone() for name, value in made.student.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ferd", {}),
        ("ferd", {"fae": False, "utae": False, "reweighting": False}),
        ("ferd", {"lambda_uni": 0.0, "lambda_bn": 0.0, "strategy": "uniform"}),
        ("ferd", {"conversion": False}),
        ("ferd", {"conversion": "ard"}),
        ("ferd-released", {}),
        ("fast", {"conversion": "rslad"}),
        ("fast", {"conversion": "trades"}),
        ("steady", {}),
        ("noise", {"conversion": "iad"}),
        ("noise", {"conversion": "sat", "fair": True}),
        ("zskt", {"conversion": False}),
        ("dfhl", {}),
        ("dfhl", {"soft_labels": True}),
        ("trades", {}),
        ("rslad", {"schedule": "cycle"}),
        ("natural", {}),
    ],
)
def test_what_is_said_to_have_no_effect_leaves_every_weight_the_same(name: str, settings: dict[str, Any]) -> None:
    method = METHODS.get(name)
    config = tiny_config(method, {"epochs": 2, **settings})
    idle = config.idle()
    moved = {field: other(config, field) for field in idle}
    assert all(getattr(config, field) != value for field, value in moved.items())
    assert difference(trained(method, config), trained(method, config.model_copy(update=moved))) is None


@pytest.mark.parametrize(
    ("name", "switch", "field"),
    [
        ("ferd", {"utae": False}, "gamma"),
        ("ferd", {"fae": False}, "bottleneck_beta"),
        ("ferd", {"reweighting": False}, "class_temperature"),
        ("noise", {"conversion": "rslad"}, "alpha"),
        ("rslad", {"fair": False}, "beta"),
    ],
)
def test_and_one_that_a_switch_makes_void_does_something_without_it(
    name: str, switch: dict[str, Any], field: str
) -> None:
    method = METHODS.get(name)
    on = {"fair": True} if "fair" in switch else {"conversion": "ard"} if "conversion" in switch else {}
    assert tiny_config(method, switch).idle()[field] == ", ".join(
        f"{key}={str(value).lower()}" for key, value in switch.items()
    )
    config = tiny_config(method, {"epochs": 3, **on})
    assert field not in config.idle()
    assert difference(trained(method, config), trained(method, config.model_copy(update={field: OTHER[field]})))


@pytest.mark.parametrize(("name", "size"), [("fast", 8), ("rslad", 8), ("fast", 16)])
def test_what_null_comes_to_makes_the_same_student_when_it_is_said(name: str, size: int) -> None:
    method = METHODS.get(name)
    config = tiny_config(method, {"epochs": 2, "crop_padding": None})
    problem = problem_for(method, (1, size, size), 3)
    said = config.stands_for(problem.info, problem.threat)
    assert {"attack_step", "crop_padding", "flip"} <= said.keys()
    assert said["crop_padding"] == size // 8
    assert difference(trained(method, config, size), trained(method, config.model_copy(update=said), size)) is None


def test_of_photographs_null_comes_to_the_papers_padding() -> None:
    info = DatasetInfo(name="x", shape=(3, 64, 64), class_names=("a", "b"), mirrored=False)
    said = METHODS.get("fast").Config().stands_for(info, ThreatModel(eps=8 / 255, step=2 / 255))
    assert said == {"attack_step": 2 / 255, "crop_padding": 4, "flip": False, "meta_lr": pytest.approx(5 * 0.003)}
