"""The sweep over ε attacks the network of a record on the record's images."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfrd_bench.records.store import load_record
from dfrd_bench.runs.sweep import sweep_run

RESULTS = Path(__file__).parent.parent.parent / "results"
ROUNDING = 3 / 900  # verdicts that another machine may flip


def test_a_committed_run_has_its_recorded_accuracy_at_its_own_eps_and_without_attack() -> None:
    (folder,) = (path.parent for path in RESULTS.glob("digits/*/*/fast/default-seed0-*/record.json"))
    recorded = load_record(folder).evaluation.attacks
    found = {point.eps: point for point in sweep_run(folder, attack="fgsm", device="cpu").points}
    for eps, attack in ((0.0, "clean"), (0.2, "fgsm")):
        assert found[eps].average == pytest.approx(recorded[attack].average, abs=ROUNDING)
        assert found[eps].worst_class == pytest.approx(recorded[attack].worst_class, abs=0.04)
    assert found[0.2].average < found[0.05].average < found[0.0].average
