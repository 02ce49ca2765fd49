"""What a user meets of lessons and weights on images without data: refusals, suites, and methods that are elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.store import load_record
from dfrd_bench.records.suites import load_suite
from dfrd_bench.registry import METHODS
from dfrd_bench.reporting.frame import load_results
from dfrd_bench.reporting.known import known_methods
from dfrd_bench.runs.preparation import prepare
from dfrd_bench.runs.request import Request
from dfrd_bench.runs.run import run

SMALL = {"batch_size": 16, "distillation_steps": 2, "attack_steps": 2}


@pytest.mark.parametrize(
    ("method", "settings", "reason"),
    [
        ("fast", ["conversion=madry"], "conversion = 'madry' should be True, False, 'rslad'"),
        ("zskt", ["conversion=false", "fair=true"], "with conversion=false there is none"),
        ("dfhl", ["conversion=ard"], "DFHL is robust distillation already"),
        ("dfhl", ["fair=true"], "with conversion=false there is none"),
        ("ferd", ["fair=true", "attack_model=teacher"], "fair=true cannot weigh images in FERD's own distillation"),
        ("natural", ["fair=true"], "Unknown hyper-parameter of natural 'fair'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_before_anything_is_trained(
    tmp_path: Path, method: str, settings: list[str], reason: str
) -> None:
    sets = [word for setting in settings for word in ("--set", setting)]
    done = tiny.command("run", "--method", method, *sets, "--results", tmp_path, "--quiet")
    assert done.code == 2
    assert reason in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("history.jsonl"))


def test_a_run_with_a_lesson_and_weights_is_recorded_with_both(tmp_path: Path, few_digits: None) -> None:
    settings = {**SMALL, "conversion": "ard", "fair": True}
    made = run("noise", epochs=2, settings=settings, attacks=["clean"], results=tmp_path)
    spec = load_record(made.folder).spec
    assert {"conversion": "ard", "fair": True}.items() <= spec.config.items()
    assert not {"beta", "alpha", "attack_mode"} & spec.config.keys()  # as nothing else was said
    lines = [json.loads(line) for line in (made.folder / "history.jsonl").read_text().splitlines()]
    assert all(any(name.startswith("kappa/") for name in line) for line in lines)
    assert run("noise", epochs=2, settings=spec.config, attacks=["clean"], results=tmp_path).cached
    assert set(load_results(tmp_path)["sees"]) == {"nothing"}


class TestSuites:
    def test_sampling_and_weighting_are_four_corners(self) -> None:
        corners = []
        for row in load_suite("sampling-weighting").runs:
            config = prepare(Request(row.method, settings=row.settings)).config
            values: dict[str, Any] = dict(config)
            corners.append((values["reweighting"] and values["strategy"] == "power", values["fair"]))
        assert sorted(corners) == [(False, False), (False, True), (True, False), (True, True)]

    def test_the_price_of_no_data_is_asked_of_each_lesson_and_source(self) -> None:
        rows = {(r.method, r.settings.get("conversion", r.method)) for r in load_suite("data-gap").runs}
        lessons, sources = ("rslad", "ard", "iad"), ("ferd", "fast", "noise")
        assert rows == {(name, name) for name in lessons} | {(s, name) for s in sources for name in lessons}

    def test_rows_are_told_apart_by_their_variants(self) -> None:
        suite = load_suite("data-gap")
        for row in suite.runs:
            if row.settings:
                spec = prepare(Request(row.method, settings=row.settings)).spec
                assert [other for other in suite.runs if other.includes(spec)] == [row]


class TestKnown:
    def test_names_what_is_elsewhere_with_venue_and_reason(self) -> None:
        listed = {
            entry["name"]: entry for entry in json.loads(tiny.command("list", "methods", "--known", "--json").out)
        }
        assert {"dfard", "derd", "ciard", "saad", "b-mtard", "datafreeshield"} <= listed.keys()
        assert listed["dfard"]["venue"] == "AAAI 2024"
        assert not listed.keys() & set(METHODS.names())
        shown = tiny.command("list", "methods", "--known").out
        assert all(name in shown for name in listed)

    def test_leaves_out_what_is_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(METHODS, "names", lambda: ["ferd", "dfard"])
        listed = json.loads(tiny.command("list", "methods", "--known", "--json").out)
        assert {entry["name"] for entry in listed} == known_methods().keys() - {"dfard"}

    def test_is_of_methods_only(self) -> None:
        done = tiny.command("list", "attacks", "--known")
        assert (done.code, "--known is for `list methods`" in done.err) == (2, True)


def test_an_error_of_values_together_does_not_repeat_them_all() -> None:
    with pytest.raises(DfrdBenchError, match=r"^Bad value for fast: fair=true weighs"):
        prepare(Request("fast", settings={"fair": True, "conversion": False}))
