"""The signatures that docs/adding-a-method.md prints are those of the classes, and nothing that must be written is left out."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from dfrd_bench import Method
from dfrd_bench.distillation.distiller import Distiller
from dfrd_bench.distillation.synthesis import PoolDistiller

PAGE = Path(__file__).parent.parent / "docs" / "adding-a-method.md"
CLASSES = (Method, Distiller, PoolDistiller)


def printed(cls: type) -> dict[str, str]:
    """The signatures in the tables below a class's heading, by the function's name."""
    _, _, after = PAGE.read_text(encoding="utf-8").partition(f"\n#### `{cls.__name__}`\n")
    rows = re.findall(r"^\| `(\w+)(\(.*?)` \|", re.split(r"\n##", after)[0], re.MULTILINE)
    return {name: signature.replace(r"\|", "|") for name, signature in rows}


def signature_of(function: Any) -> str:
    """As it is written in the source, without the quotes of annotations that are not evaluated."""
    return str(inspect.signature(function)).replace("'", "")


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_the_printed_signatures_are_those_of_the_class(cls: type) -> None:
    found = printed(cls)
    assert found == {name: signature_of(getattr(cls, name)) for name in found}


@pytest.mark.parametrize("cls", [Method, PoolDistiller], ids=lambda cls: cls.__name__)
def test_what_must_be_written_is_printed(cls: type) -> None:
    assert cls.__abstractmethods__ <= printed(cls).keys()  # type: ignore[attr-defined]


def test_what_a_distiller_is_given_beside_a_method_is_printed() -> None:
    mine = {name for name, value in vars(Distiller).items() if inspect.isfunction(value) and name[0] != "_"}
    inside = {"converted", "decayed", "gradients", "gradients_by_image", "set_learning_rate", "shown", "state_dict"}
    assert printed(Distiller).keys() == mine - inside
