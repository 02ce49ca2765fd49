"""What each dataset asks of a method: the papers' budget, a tenth of it, and the papers' values for many classes."""

from __future__ import annotations

from typing import Any

import pytest

from dfrd_bench.datasets.base import TEACHER_PRESET, TEACHER_RECIPE, Dataset, open_dataset
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.method import MethodConfig
from dfrd_bench.registry import DATASETS, METHODS, STUDENTS
from dfrd_bench.runs.preparation import budget_of, resolve_config
from dfrd_bench.runs.request import Request
from dfrd_bench.settings import validated

NAMES = ("cifar10", "cifar100", "svhn")
BUILT_IN = ("zskt", "cmi", "deepinv", "fast", "dfhl", "ferd", "ferd-released", "steady")


def resolved(method: str, dataset: Dataset, preset: str = "default", **values: Any) -> tuple[MethodConfig, str]:
    request = Request(method, dataset.info.name, preset=preset, settings=values)
    return resolve_config(request, METHODS.get(method), dataset)


@pytest.mark.parametrize("method", BUILT_IN)
def test_cifar10_is_the_papers_defaults(method: str) -> None:
    dataset = open_dataset("cifar10")
    for preset in ("default", "paper"):
        config, variant = resolved(method, dataset, preset)
        assert config == METHODS.get(method).Config()
        assert variant == preset


@pytest.mark.parametrize("method", BUILT_IN)
@pytest.mark.parametrize("name", NAMES)
def test_quick_is_a_tenth_of_the_epochs(method: str, name: str) -> None:
    config, variant = resolved(method, open_dataset(name), "quick")
    assert config.epochs == 22
    assert getattr(config, "warmup_epochs", 0) in (0, 2)
    assert variant == "quick"


WITH_DATA = (
    *("natural", "sat", "trades", "ard", "iad", "rslad", "fair-ard", "fair-iad", "fair-rslad"),
    *("gair-ard", "frl-ard", "fat-ard", "cfa-ard", "bat", "dafa"),
    *("absld", "adaad", "fair-mtard", "fair-mtard-released", "igdm", "mtard"),
)


@pytest.mark.parametrize("method", WITH_DATA)
@pytest.mark.parametrize("name", [*NAMES, "tiny-imagenet", "digits"])
def test_methods_with_data_have_budgets_of_their_own(method: str, name: str) -> None:
    dataset, papers = DATASETS.get(name), METHODS.get(method).Config()
    assert dataset.training_presets.keys() == dataset.presets.keys()
    found = {
        preset: validated(METHODS.get(method).Config, budget_of(METHODS.get(method), 10, budget), name)
        for preset, budget in dataset.training_presets.items()
    }
    if name == "digits":
        assert {preset: config.epochs for preset, config in found.items()} == {"default": 60, "quick": 6}
        assert found["default"].batch_size == 64
        assert getattr(found["default"], "attack_steps", 10) == 10
    else:
        assert found["default"] == papers
        assert {preset: config.epochs for preset, config in found.items() if preset != "default"} == {
            "quick": 20,
            "cpu": 2,
        }


@pytest.mark.parametrize(("shares", "label"), [([0.5], "decay_at=0.5"), ([0.25, 0.5], "decay_at=0.25,0.5")])
def test_a_setting_of_several_numbers_has_a_plain_label(shares: list[float], label: str) -> None:
    assert resolved("ard", open_dataset("digits"), decay_at=shares)[1] == label


def test_the_two_kinds_are_given_their_own_budget_and_the_papers() -> None:
    digits = open_dataset("digits")
    assert [resolved(m, digits)[0].epochs for m in ("ferd", "rslad")] == [40, 60]
    assert [resolved(m, digits, "paper")[0].epochs for m in ("ferd", "rslad", "ard", "trades")] == [220, 300, 200, 100]
    assert [resolved(m, digits, "paper")[0].epochs for m in ("mtard", "absld", "adaad", "igdm")] == [300, 300, 200, 200]


SYNTHESIZED, STEPS = "synthetic images", "synthesis steps"


def made(dataset: Dataset, preset: str) -> dict[str, dict[str, int]]:
    """What every method of the harness makes under a preset."""
    return {method: resolved(method, dataset, preset)[0].made() for method in BUILT_IN}


@pytest.mark.parametrize("name", [*NAMES, "digits"])
def test_every_preset_gives_all_methods_as_many_images(name: str) -> None:
    """Those that keep a pool: ZSKT's images are fresh in every step."""
    dataset = open_dataset(name)
    for preset in {"paper", *dataset.presets}:
        counts = made(dataset, preset)
        assert {method for method, count in counts.items() if SYNTHESIZED not in count} == {"zskt"}
        assert len({count[SYNTHESIZED] for method, count in counts.items() if method != "zskt"}) == 1, preset


@pytest.mark.parametrize("name", [*NAMES, "digits"])
def test_every_preset_but_the_papers_gives_all_methods_as_many_synthesis_steps(name: str) -> None:
    dataset = open_dataset(name)
    for preset, budget in dataset.presets.items():
        if budget:  # an empty one is the papers' own
            steps = [count[STEPS] for count in made(dataset, preset).values()]
            assert max(steps) <= 1.1 * min(steps), preset


def test_the_papers_steps_are_the_papers() -> None:
    """Rounds of 200, 1,000, 5 and 10 steps; ZSKT, with 220 epochs of 40 rounds, has 5 for the shared recipe's 200."""
    found = {method: count[STEPS] / 220 for method, count in made(open_dataset("cifar10"), "paper").items()}
    papers = {"cmi": 200, "deepinv": 1000, "fast": 5, "dfhl": 10, "ferd": 200, "ferd-released": 200, "zskt": 200}
    papers["steady"] = papers["fast"]
    assert found == papers


@pytest.mark.parametrize("name", NAMES)
def test_cpu_is_a_hundredth_of_ferds_steps(name: str) -> None:
    dataset = open_dataset(name)
    papers, few = (resolved("ferd", dataset, preset)[0].model_dump() for preset in ("paper", "cpu"))

    def of_the_student(config: dict[str, Any]) -> int:
        return (config["epochs"] - config["warmup_epochs"]) * config["distillation_steps"]

    def of_the_generator(config: dict[str, Any]) -> int:
        return config["epochs"] * config["synthesis_rounds"] * config["synthesis_steps"]

    assert of_the_student(papers) == 100 * of_the_student(few)
    assert of_the_generator(papers) == pytest.approx(100 * of_the_generator(few), rel=0.1)
    assert few["batch_size"] == 64


@pytest.mark.parametrize("method", BUILT_IN)
def test_a_hundred_classes_take_batches_of_512(method: str) -> None:
    for preset in ("paper", "default", "quick"):
        config, variant = resolved(method, open_dataset("cifar100"), preset)
        assert config.batch_size == 512  # type: ignore[attr-defined]
        assert variant == preset
    assert resolved(method, open_dataset("svhn"))[0].batch_size == 256  # type: ignore[attr-defined]


def test_dfhl_has_its_own_values_for_cifar100() -> None:
    config, _ = resolved("dfhl", open_dataset("cifar100"), "paper")
    found = config.model_dump(include={"synthesis_steps", "generator_lr", "latent_lr", "label_smoothing"})
    assert found == {"synthesis_steps": 15, "generator_lr": 5e-3, "latent_lr": 0.015, "label_smoothing": 0.02}


def test_what_the_user_sets_goes_before_the_papers_value() -> None:
    config, variant = resolved("ferd", open_dataset("cifar100"), batch_size=128)
    assert config.batch_size == 128  # type: ignore[attr-defined]
    assert variant == "batch_size=128"


@pytest.mark.parametrize("name", [*NAMES, "digits", "tiny-imagenet", "imagefolder"])
def test_every_dataset_has_presets_and_a_recipe_that_can_be_used(name: str) -> None:
    dataset = DATASETS.get(name)
    assert {"default", "quick"} <= dataset.presets.keys()
    for preset in dataset.presets.values():
        validated(METHODS.get("ferd").Config, preset, name)
    assert dataset.teacher_method == "trades"
    recipe = dataset.presets_of("training images")[TEACHER_PRESET]
    assert recipe == {**TEACHER_RECIPE, **dataset.teacher_recipe}
    validated(METHODS.get("trades").Config, recipe, name)
    STUDENTS.get(dataset.teacher_architecture or dataset.default_student)
    assert dataset.threat.eps == (0.2 if name == "digits" else 8 / 255)
    assert dataset.threat.step == (0.05 if name == "digits" else 2 / 255)


def test_an_unknown_preset_gets_the_nearest() -> None:
    with pytest.raises(DfrdBenchError, match=r"Unknown preset of cifar10 'quik'. Did you mean 'quick'"):
        resolved("ferd", open_dataset("cifar10"), "quik")
