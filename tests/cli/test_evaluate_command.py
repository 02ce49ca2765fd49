"""`dfrd-bench evaluate` adds to a run what it lacks, and loses nothing: not even what another evaluation is doing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.observer import Observer
from dfrd_bench.records.arrays import read_arrays, write_arrays
from dfrd_bench.records.store import load_predictions, load_record
from dfrd_bench.runs.environment import describe_environment
from dfrd_bench.runs.reevaluation import evaluate_run
from dfrd_bench.runs.verification import verify_run

pytestmark = pytest.mark.usefixtures("few_digits")


def test_what_is_kept_of_another_attack_stays(run: Path) -> None:
    """Hours of AutoAttack, stopped; then a quick look at FGSM."""
    write_arrays(run / "evaluation" / "autoattack.npz", {"hours": np.ones(3)})
    evaluate_run(run, attacks=["fgsm"])
    assert tiny.files_below(run / "evaluation") == ["autoattack.npz"]


def test_one_evaluation_at_a_time_and_the_next_keeps_what_the_first_recorded(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dfrd_bench.runs.reevaluation.PATIENCE", 0.0)

    def meanwhile(attack: str, done: int, total: int, accuracy: float) -> None:
        with pytest.raises(DfrdBenchError, match="Another process is at work in"):
            evaluate_run(run, attacks=["cw"])

    first = evaluate_run(run, attacks=["fgsm"], observer=Observer(on_attack=meanwhile))
    assert first.evaluation.attacks.keys() == {"clean", "pgd20", "fgsm"}
    returned = evaluate_run(run, attacks=["cw"])
    record, predictions = load_record(run), load_predictions(run)
    assert record == returned
    assert record.evaluation.attacks.keys() == {"clean", "pgd20", "cw", "fgsm"} == predictions.attacks.keys()
    standing = [predicted == predictions.labels for predicted in predictions.attacks.values()]
    assert record.evaluation.worst_case == np.all(standing, axis=0).mean()
    assert verify_run(run) == []


def test_predictions_of_an_attack_that_was_never_recorded_do_not_count(run: Path) -> None:
    """As they are after a power cut between the writing of predictions.npz and of record.json."""
    arrays = read_arrays(run / "predictions.npz", "labels")
    wrong = (arrays["labels"] + 1) % 10
    write_arrays(run / "predictions.npz", {**arrays, "attack_autoattack": wrong})
    record = evaluate_run(run, attacks=["fgsm"])
    assert record.evaluation.attacks.keys() == {"clean", "pgd20", "fgsm"}
    assert record.evaluation.worst_case > 0
    assert verify_run(run) == []


def test_nothing_is_added_to_predictions_that_are_not_the_records(run: Path) -> None:
    arrays = read_arrays(run / "predictions.npz", "labels")
    write_arrays(run / "predictions.npz", {**arrays, "attack_clean": (arrays["attack_clean"] + 1) % 10})
    before = (run / "record.json").read_bytes()
    done = tiny.command("evaluate", run, "--attacks", "fgsm", "--quiet")
    assert done.code == 2
    assert "does not belong to the record beside it" in done.err
    assert (run / "record.json").read_bytes() == before


def test_an_attack_added_elsewhere_says_where_it_ran(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate_run(run, attacks=["fgsm"])
    elsewhere = describe_environment(tiny.CPU).model_copy(update={"device": "another machine"})
    monkeypatch.setattr("dfrd_bench.runs.measurement.describe_environment", lambda device: elsewhere)
    record = evaluate_run(run, attacks=["cw"])
    assert {name: attack.environment for name, attack in record.evaluation.attacks.items()} == {
        **dict.fromkeys(("clean", "pgd20", "fgsm")),
        "cw": elsewhere,
    }
    assert record.environment.device != "another machine"
    assert verify_run(run) == []
