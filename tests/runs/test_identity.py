"""A run is known before anything is loaded: its identity is that of the spec which `prepare` resolves, and of no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.runs.identity import identity_of
from dfrd_bench.runs.preparation import prepare
from dfrd_bench.runs.request import Request

ASKED = Request(method="zskt", device="cpu", attacks=("clean",))
OTHERS: list[dict[str, Any]] = [
    *({"seed": 1}, {"settings": {"lr": 0.5}}, {"epochs": 1}, {"student": "wrn-10-2"}, {"eps": 0.1}, {"step": 0.01}),
    *({"test_images": 20}, {"precision": "bf16"}, {"method": "fast"}, {"preset": "quick"}),
]


@pytest.mark.parametrize("method", ["zskt", "ferd", "natural", "rslad", "mtard"])
def test_a_run_has_the_identity_of_its_spec_and_lies_where_it_says(method: str, tmp_path: Path) -> None:
    """Without a teacher, with one, and with two; with training images and without."""
    request = replace(ASKED, method=method, settings={"batch_size": 24}, results=str(tmp_path))
    spec, identity = prepare(request).spec, identity_of(request)
    assert identity.is_of(spec)
    folder = spec.folder(tmp_path)
    folder.mkdir(parents=True)
    folder.with_name(folder.name.replace("seed0", "seed00")).mkdir()
    assert identity.folders(tmp_path) == [folder]


@pytest.mark.parametrize("other", OTHERS, ids=lambda other: next(iter(other)))
def test_whatever_changes_a_run_changes_its_identity(other: dict[str, Any]) -> None:
    spec = prepare(replace(ASKED, **other)).spec
    assert identity_of(replace(ASKED, **other)).is_of(spec)
    assert not identity_of(ASKED).is_of(spec)


def test_another_teacher_is_another_run_but_its_weights_are_not_looked_at(tmp_path: Path) -> None:
    spec = prepare(ASKED).spec
    assert identity_of(ASKED).is_of(
        spec.model_copy(update={"teacher": spec.teacher.model_copy(update={"sha256": "x"})})
    )
    named = replace(ASKED, teacher=f"checkpoint:{tmp_path}/t.pt", teacher_arch="wrn-10-2")  # is not there
    assert identity_of(named).spec.teacher.name == "checkpoint:t.pt"
    assert not identity_of(named).is_of(spec)


def test_any_precision_that_auto_may_come_to_is_the_run(tmp_path: Path) -> None:
    auto = identity_of(replace(ASKED, precision="auto"))
    for precision in ("fp32", "bf16"):
        assert auto.is_of(prepare(replace(ASKED, precision=precision)).spec)


def test_what_is_wrong_with_a_request_is_said() -> None:
    with pytest.raises(DfrdBenchError, match="Did you mean 'lr"):
        identity_of(replace(ASKED, settings={"lrr": 1}))
    with pytest.raises(DfrdBenchError, match="Name a method"):
        identity_of(Request())
