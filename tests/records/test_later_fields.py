"""Hyper-parameters that were added later change neither the hash, nor the name, nor the bytes of an older record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest

from dfrd_bench.method import MethodConfig, param
from dfrd_bench.records.schema import Record
from dfrd_bench.records.store import find_records
from dfrd_bench.registry import METHODS
from dfrd_bench.runs.preparation import prepare, variant_of
from dfrd_bench.runs.request import Request

RESULTS = Path(__file__).parents[2] / "results"
COMMITTED = [(folder, record) for folder, record in find_records(RESULTS) if isinstance(record, Record)]
OURS = [
    (folder, record)
    for folder, record in COMMITTED
    if record.spec.kind == "student" and record.spec.provider == "dfrd-bench 0.3.0"
]
PRESENT = [(folder, record) for folder, record in OURS if "superseded" not in folder.relative_to(RESULTS).parts]


class Before(MethodConfig):
    """A method as it was."""

    way: Literal["old", "new"] = param("old", "how", "here")
    rate: float = param(0.5, "how fast", "here")


class After(Before):
    """And as it became."""

    twist: float = param(1.0, "how far round", "here", since="2.0")
    mirror: bool = param(False, "the other way round", "here", since="2.0")

    @classmethod
    def implied(cls, values: Any) -> dict[str, Any]:
        return {"twist": 3.0} if values.get("way") == "new" else {}


class TestALaterField:
    def test_is_not_written_at_its_default(self) -> None:
        assert After().model_dump(mode="json") == Before().model_dump(mode="json")
        assert After().model_dump_json() == Before().model_dump_json()

    def test_is_written_where_it_differs(self) -> None:
        assert After(mirror=True).model_dump() == {**Before().model_dump(), "mirror": True}

    @pytest.mark.parametrize(
        "values", [{}, {"way": "new"}, {"way": "new", "twist": 1.0}, {"twist": 3.0, "mirror": True}]
    )
    def test_comes_back_from_what_was_written(self, values: dict[str, Any]) -> None:
        config = After(**values)
        assert After(**config.model_dump(mode="json")) == config

    def test_that_another_implies_is_left_out_at_what_is_implied_only(self) -> None:
        assert After(way="new").twist == 3
        assert "twist" not in After(way="new").model_dump()
        assert After(way="new", twist=1.0).model_dump()["twist"] == 1  # its own default, and not what is implied

    def test_stands_in_a_variants_name_where_it_was_chosen(self) -> None:
        def name(**values: Any) -> str:
            config = After(**values)
            return variant_of("default", config, After(**After.implied(dict(config))))

        assert name() == "default"
        assert name(way="new") == "way=new"
        assert name(way="new", twist=1.0) == "twist=1.0+way=new"
        assert name(mirror=True) == "mirror=true"


class TestCommittedRecords:
    def test_lie_in_folders_that_end_in_their_hash(self) -> None:
        assert len(COMMITTED) > 20
        assert {folder.name.rpartition("-")[2] == record.spec.digest() for folder, record in COMMITTED} == {True}

    def test_have_the_same_config_and_hash_when_their_methods_read_and_write_it_again(self) -> None:
        assert {record.spec.method for _, record in PRESENT} >= {"ferd", "fast", "cmi", "deepinv", "zskt", "dfhl"}
        for folder, record in PRESENT:
            config = METHODS.get(record.spec.method).Config(**record.spec.config)
            again = record.spec.model_copy(update={"config": config.model_dump(mode="json")})
            assert again == record.spec, folder
            assert again.digest() == record.spec.digest()

    def test_are_read_with_every_setting_they_were_made_with_superseded_or_not(self) -> None:
        """A method whose defaults are others now may write less of them: what a record says is what is run again."""
        assert len(OURS) > len(PRESENT)
        for folder, record in OURS:
            config = METHODS.get(record.spec.method).Config(**record.spec.config)
            read = json.loads(json.dumps({name: getattr(config, name) for name in record.spec.config}))
            assert read == record.spec.config, folder

    def test_are_those_that_the_same_request_would_be_recorded_as(self) -> None:
        """A default run of the present code hashes as the committed one, but for the version that provides it and its code."""
        usual = ("fast", "digits", "default")
        (folder, record), *_ = [(f, r) for f, r in PRESENT if (r.spec.method, r.spec.dataset, r.spec.variant) == usual]
        spec = prepare(Request("fast", seed=record.spec.seed, device="cpu")).spec
        assert spec.code is not None
        spec = spec.model_copy(update={"provider": record.spec.provider, "code": record.spec.code})
        assert spec.folder(Path()).name == folder.name


def test_a_lesson_is_all_that_a_variants_name_says() -> None:
    spec = prepare(Request("fast", settings={"conversion": "ard"}, device="cpu")).spec
    assert spec.variant == "conversion=ard"
    assert spec.config["conversion"] == "ard"
    assert (spec.config["attack_start"], spec.config["temperature"]) == ("uniform", 30)
    spec = prepare(Request("fast", settings={"conversion": "ard", "attack_start": "noise", "fair": True})).spec
    assert spec.variant == "attack_start=noise+conversion=ard+fair=true"
