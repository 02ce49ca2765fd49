"""One line about an object: read in its module's text where it stands there, and told by the object else."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from dfrd_bench.registry import METHODS
from dfrd_bench.summaries import summary_in_source, summary_of, word_in_source

WRITTEN = '''
from dataclasses import dataclass

class Documented:
    """What it is.

    More of it.
    """

class Both:
    """A docstring."""
    summary = "its own summary"

@dataclass(frozen=True)
class Made:
    """Something with a line."""
    summary: str
    size: int = 0

given = Made(size=3, summary="a line " "in two parts")
plain = Documented()
own = Both()
again = given = Made(summary="both names")
last = Made(summary="first")
last = Made(summary="last")
'''
HIDDEN = '''
from os.path import join as elsewhere

class Silent:
    pass

def made(n):
    """What makes it."""
    return Silent()

computed = type("Named", (), {"summary": "line " + str(1)})
returned = made(2)
if True:
    inner = made(3)
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that is not imported yet: what a list can read, and what it cannot."""
    (tmp_path / "written_and_hidden.py").write_text(WRITTEN + HIDDEN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "written_and_hidden", raising=False)
    return "written_and_hidden"


@pytest.mark.parametrize("name", ["Documented", "Both", "plain", "own", "last"])
def test_what_stands_in_the_text_is_what_the_object_says(module: str, name: str) -> None:
    read = summary_in_source(module, name)
    assert module not in sys.modules
    assert read
    assert read == summary_of(getattr(importlib.import_module(module), name))
    del sys.modules[module]


@pytest.mark.parametrize("name", ["elsewhere", "Silent", "computed", "returned", "inner", "again", "no_such_name"])
def test_what_does_not_stand_there_is_left_to_the_object(module: str, name: str) -> None:
    assert summary_in_source(module, name) == ""
    assert module not in sys.modules


FAMILY = """
from typing import ClassVar

class Root:
    sees: ClassVar[str] = "nothing"
    kind = "root"

class Child(Root):
    kind = "child"
"""
GRANDCHILDREN = """
from family_root import Child as Parent, Root

class Grandchild(Parent):
    pass

class Own(Root):
    sees = "images"

class Computed(Root):
    sees = "im" + "ages"

class Stranger(missing.Base):
    pass
"""


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module whose classes have bases in another, neither of them imported yet."""
    (tmp_path / "family_root.py").write_text(FAMILY)
    (tmp_path / "family_leaves.py").write_text(GRANDCHILDREN)
    monkeypatch.syspath_prepend(tmp_path)
    return "family_leaves"


@pytest.mark.parametrize(
    ("name", "attribute", "word"),
    [
        *(("Grandchild", "sees", "nothing"), ("Grandchild", "kind", "child"), ("Own", "sees", "images")),
        *(
            ("Own", "kind", "root"),
            ("Stranger", "sees", ""),
            ("Grandchild", "no_such_word", ""),
            ("Nobody", "sees", ""),
        ),
    ],
)
def test_a_word_is_read_in_the_class_or_in_the_first_base_that_has_it(
    family: str, name: str, attribute: str, word: str
) -> None:
    assert word_in_source(family, name, attribute) == word
    assert family not in sys.modules
    assert "family_root" not in sys.modules


def test_what_every_method_of_the_package_sees_is_what_its_class_says() -> None:
    own = [entry for entry in METHODS.entries() if entry.distribution.startswith("dfrd-bench ")]
    assert {entry.name: entry.sees for entry in own} == {entry.name: METHODS.get(entry.name).sees for entry in own}
    assert {entry.sees for entry in own} == {"nothing", "training images"}


def test_a_module_without_a_text_says_nothing() -> None:
    assert summary_in_source("math", "pi") == ""


def test_a_text_that_is_not_python_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "not_python.py").write_text("def broken(:")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SyntaxError):
        summary_in_source("not_python", "broken")
