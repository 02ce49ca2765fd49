"""Sweeps over ε beside a record: which count, and what they say between and beyond their points."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dfrd_bench.benchmarks.reliability.readers import write_run
from pydantic import ValidationError

from dfrd_bench.evaluation.swept import swept
from dfrd_bench.records.schema import Record
from dfrd_bench.records.sweeps import SweepRecord, save_sweep


def made(record: Record, **changed: Any) -> SweepRecord:
    """A sweep that agrees with the record of `write_run`: all are right without an attack."""
    eps = record.spec.threat.eps
    content = {
        **{"created": "2026-01-01T00:00:00Z", "attack": "pgd20", "provider": "dfrd-bench 0", "eps": eps, "seed": 0},
        "points": [{"eps": e, "average": a, "worst_class": 0} for e, a in ((0, 1.0), (eps, 0.75), (4 * eps, 0.0))],
        **{"weights_sha256": record.weights_sha256, "test_digest": record.dataset.test_digest},
        "environment": record.environment.model_dump(),
    }
    return SweepRecord.model_validate({**content, **changed})


def test_a_sweep_says_what_it_measured_and_that_nothing_stays_nothing(tmp_path: Path) -> None:
    record = write_run(tmp_path / "run")
    sweep = made(record)
    assert [point and point.average for point in map(sweep.at, (0, sweep.eps, 2 * sweep.eps, 1.0))] == [
        1,
        0.75,
        None,
        0,
    ]
    save_sweep(tmp_path / "run", sweep)
    assert swept(tmp_path / "run", record).sweeps == (sweep,)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"weights_sha256": "b" * 64}, "of other weights"),
        ({"test_digest": "e"}, "of other images"),
        ({"eps": 0.5, "points": [(0, 1.0), (0.5, 0.0)]}, "takes 0.5 for the run's ε"),
        ({"points": [(0, 0.9), (None, 0.0)]}, "At ε = 0 it leaves 90.00 % of the images, and the record 100.00 %."),
    ],
)
def test_a_sweep_that_contradicts_its_record_does_not_count(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    record = write_run(tmp_path / "run")
    if points := changed.get("points"):
        own = record.spec.threat.eps
        changed["points"] = [{"eps": own if e is None else e, "average": a, "worst_class": 0} for e, a in points]
    save_sweep(tmp_path / "run", made(record, **changed))
    found = swept(tmp_path / "run", record)
    assert found.sweeps == ()
    assert said in found.doubted[0]


def test_a_damaged_sweep_is_named_and_hides_no_other(tmp_path: Path) -> None:
    record = write_run(tmp_path / "run")
    save_sweep(tmp_path / "run", made(record))
    (tmp_path / "run" / "curve-fgsm.json").write_text("{}")
    found = swept(tmp_path / "run", record)
    assert [one.attack for one in found.sweeps] == ["pgd20"]
    assert "curve-fgsm.json is not a valid sweep over ε: created" in found.doubted[0]


@pytest.mark.parametrize("levels", [(0.1, 0.2), (0, 0.2, 0.2), (0, 0.4, 0.2), (0, 0.1)])
def test_eps_grows_from_zero_and_the_runs_own_is_there(tmp_path: Path, levels: tuple[float, ...]) -> None:
    content = json.loads(made(write_run(tmp_path / "run")).model_dump_json())
    content["points"] = [{"eps": level, "average": 0.5, "worst_class": 0} for level in levels]
    with pytest.raises(ValidationError, match="ε"):
        SweepRecord.model_validate({**content, "eps": 0.2})
