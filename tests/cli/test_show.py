"""`show METHOD` prints the values that a run uses, and of a method built on another what differs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import tiny

from dfrd_bench.registry import METHODS
from dfrd_bench.reporting.hyperparameters import kin, lines, shown

REPRODUCIBILITY = Path(__file__).parent.parent.parent / "docs" / "reproducibility.md"


def test_the_values_that_are_shown_are_those_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.cut_digits(monkeypatch)
    shown_ = tiny.command("show", "zskt", "--preset", "quick", "--dataset", "digits").out
    dry = tiny.command(
        "run", "--method", "zskt", "--preset", "quick", "--dry-run", "--results", tmp_path, "--quiet"
    ).out
    config = json.JSONDecoder().raw_decode(dry)[0]["config"]
    assert "used: digits, quick" in shown_
    for name in ("epochs", "batch_size", "distillation_steps", "generator_steps", "generator_width"):
        (row,) = re.findall(rf"^{name} .*", shown_, re.MULTILINE)
        assert row.split()[2] == str(config[name])


def test_what_null_and_a_switch_come_to_is_said_beside_it() -> None:
    shown_ = tiny.command("show", "ferd", "--preset", "quick", "--dataset", "cifar10").out
    assert re.search(r"^attack_step +null +null = 0\.007843 ", shown_, re.MULTILINE)  # 2/255
    assert re.search(r"^crop_padding +null +null = 4 ", shown_, re.MULTILINE)
    assert "teacher robustbench:" in shown_
    assert "L∞, ε = 8/255, step 2/255" in shown_
    released = tiny.command("show", "ferd-released").out
    assert re.search(r"^gamma +0\.5 \(no effect: utae=false\)", released, re.MULTILINE)


def test_without_a_dataset_no_value_is_claimed_to_be_used() -> None:
    assert "used:" not in tiny.command("show", "ferd").out
    assert "used: digits, paper" in tiny.command("show", "ferd", "--preset", "paper").out
    assert "Unknown preset" in tiny.command("show", "ferd", "--preset", "quik").err


def test_what_differs_is_every_default_that_is_another_and_nothing_else() -> None:
    ours, theirs = (METHODS.get(name).Config().model_dump() for name in ("ferd-released", "ferd"))
    found = kin(METHODS.get("ferd-released"))
    assert found is not None
    assert found.parent == "ferd"
    assert {name for name, *_ in found.values} == {name for name in ours if ours[name] != theirs[name]}
    assert all((here, there) == (shown(ours[name]), shown(theirs[name])) for name, here, there, _ in found.values)
    assert all("FERD released code" in why for *_, why in found.values)
    assert dict(found.rules).keys() == {"split_layer", "for_classes"}


def test_a_method_that_stands_alone_differs_from_none() -> None:
    assert kin(METHODS.get("zskt")) is None
    assert "Differs from" not in tiny.command("show", "zskt").out
    mtard = kin(METHODS.get("fair-mtard-released"))
    assert mtard is not None
    assert dict(mtard.rules) == {"needs_natural_teacher": "false, there true"}


RELEASED = [name for name in METHODS.names() if name.endswith("-released")]


@pytest.mark.parametrize("name", RELEASED)
def test_the_documents_list_what_a_released_variant_changes(name: str) -> None:
    found = kin(METHODS.get(name))
    assert found is not None
    (row,) = re.findall(rf"^\| `{name}` \| `{found.parent}` \| (.*) \|$", REPRODUCIBILITY.read_text(), re.MULTILINE)
    listed = dict(re.findall(r"`(\w+)=([^`]+)`", row))
    assert listed == {value[0]: value[1] for value in found.values}


@pytest.mark.parametrize("name", METHODS.names())
def test_every_method_says_of_known_hyper_parameters_only_that_they_are_idle(name: str) -> None:
    config = METHODS.get(name).Config
    assert config().idle().keys() <= config.model_fields.keys()
    assert len(list(lines(config))) == len(config.model_fields)
