"""How attacks were set, as `show` says it: by the record, and where that is silent by this version."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path

import pyautoattack
import pytest
import tiny
import torch
from table_records import make_record, write_record

from dfrd_bench.problem import ThreatModel
from dfrd_bench.records.schema import Record
from dfrd_bench.registry import ATTACKS
from dfrd_bench.reporting.attack_settings import settings_of_attacks

THREAT = ThreatModel(eps=8 / 255, step=2 / 255)


def made_by(version: str | None, *attacks: str) -> Record:
    """A record of these attacks with the parameters that they record, by some version of dfrd-bench."""
    record = make_record(dict.fromkeys(attacks, (0.5, 0.1, 0.2)))
    results = {
        name: result.model_copy(update={"parameters": ATTACKS.get(name).parameters(THREAT)})
        for name, result in record.evaluation.attacks.items()
    }
    packages = {"dfrd-bench": version} if version else {}
    return record.model_copy(
        update={
            "evaluation": record.evaluation.model_copy(update={"attacks": results, "seed": 7}),
            "environment": record.environment.model_copy(update={"packages": packages}),
        }
    )


def said(record: Record) -> dict[str, str]:
    return dict(settings_of_attacks(record))


def test_every_recorded_parameter_is_said_of_every_attack() -> None:
    record = made_by("0", "clean", "fgsm", "pgd20", "pgd20x5", "cw", "autoattack")
    lines = said(record)
    assert lines["attacks"] == "as recorded, all with seed 7"
    assert lines["clean"] == "nothing to set; 1.0 s"
    for name, result in record.evaluation.attacks.items():
        for key in result.parameters:
            assert f"{key}=" in lines[name]
    assert lines["pgd20"] == (
        "norm=Linf, eps=8/255, step=2/255, steps=20, loss=cross-entropy, random_start=true; 1.0 s"
    )
    assert "starts=5" in lines["pgd20x5"]


def test_what_is_not_recorded_is_what_the_library_and_this_version_do() -> None:
    unsaid = said(made_by("0", "clean", "fgsm", "pgd20", "pgd20x5", "autoattack"))["not recorded"]
    library = pyautoattack.AutoAttack(torch.nn.Identity(), norm="Linf", eps=0.1, version="standard", device="cpu")
    assert {library.apgd.n_iter, library.apgd_targeted.n_iter, library.fab.n_iter} == {100}
    restarts = {one.n_restarts for one in (library.apgd, library.apgd_targeted, library.fab, library.square)}
    assert restarts == {1}
    assert library.apgd_targeted.n_target_classes == library.fab.n_target_classes == 9
    assert (
        f"autoattack: APGD and FAB of 100 steps, APGD-T and FAB-T with 9 target classes, Square of "
        f"{library.square.n_queries:,} queries, 1 restart each"
    ) in unsaid
    assert "precision float32, 300 images at a time" in unsaid
    assert "pgd20: starts=1" in unsaid
    assert "pgd20x5:" not in unsaid
    assert "fgsm:" not in unsaid


@pytest.mark.parametrize(
    ("made", "end"),
    [
        (metadata.version("dfrd-bench"), "has it, which made the record)"),
        ("0.0.1", "the record was made by dfrd-bench 0.0.1, which may have had other defaults)"),
        (None, "the record was made by a version that it does not name, which may have had other defaults)"),
    ],
)
def test_it_is_said_whose_defaults_these_are(made: str | None, end: str) -> None:
    assert said(made_by(made, "clean"))["not recorded"].endswith(end)


def test_show_prints_them_between_how_a_run_was_made_and_its_numbers(tmp_path: Path) -> None:
    folder = write_record(tmp_path, made_by("0", "clean", "pgd20"))
    out = tiny.command("show", folder).out
    places = [
        out.index(text) for text in ("recorded  ", "as recorded, all with seed 7", "loss=cross-entropy", "average %")
    ]
    assert places == sorted(places)
    assert re.search(r"^not recorded +precision float32", out, re.MULTILINE)
    assert json.loads(tiny.command("show", folder, "--json").out)["evaluation"]["seed"] == 7
