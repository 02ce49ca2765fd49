"""The tiny budget of a check, and hyper-parameters that whoever calls it gives beside it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from dfrd_bench.method import Method, MethodConfig
from dfrd_bench.registry import METHODS
from dfrd_bench.settings import check_names, validated

TINY: Mapping[str, Any] = {
    "epochs": 3,
    "batch_size": 8,
    "warmup_epochs": 1,
    "synthesis_rounds": 2,
    "synthesis_steps": 2,
    "distillation_steps": 2,
    "bottleneck_steps": 2,
    "attack_steps": 2,
    "probe_steps": 2,
    "validation_share": 0.5,
    "validation_steps": 2,
    "generator_width": 8,
    "latent_dim": 8,
}
"""The budget of a check: of each name that a method has, so much, or less where its `at_budget` makes it less."""


def tiny_config(method: type[Method], config: Mapping[str, Any] | None = None) -> MethodConfig:
    """A method's hyper-parameters at the budget `TINY`, and those given."""
    return method.Config(**{**_values(method), **(config or {})})


def given_config(method: type[Method], given: Mapping[str, Any]) -> MethodConfig | None:
    """As `tiny_config`; None where there is none at the tiny budget alone either, which is the method's fault.

    Raises:
        DfrdBenchError: a name that the method has not (the nearest are named), or a value that it does not take.
    """
    owner = METHODS.name_of(method) or method.__name__
    check_names(f"hyper-parameter of {owner}", given, method.Config.model_fields)
    with suppress(Exception):
        return tiny_config(method, given)
    try:
        tiny_config(method)
    except Exception:
        return None
    return validated(method.Config, {**_values(method), **given}, owner)


def _values(method: type[Method]) -> dict[str, Any]:
    """What `TINY` comes to for a method."""
    fields = method.Config.model_fields
    values = {name: value for name, value in TINY.items() if name in fields}
    for name, value in method.Config.at_budget(TINY).items():
        values[name] = min(value, TINY[name]) if name in TINY else value
    return values
