"""Records made from predictions break no rule; each number that is changed afterwards is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from table_records import make_record

from dfrd_bench.evaluation.audit import Finding
from dfrd_bench.evaluation.summary import attack_record
from dfrd_bench.records.schema import Predictions, Record
from dfrd_bench.records.store import save_record
from dfrd_bench.reporting.audit.recorded import audit_runs

LABELS = np.arange(900) % 10
LOST = {"clean": 0.1, "fgsm": 0.3, "pgd20": 0.4, "cw": 0.45, "autoattack": 0.5}


def predictions(lost: dict[str, float]) -> Predictions:
    """Per attack, predictions of which that share is wrong; what a weaker attack breaks, a stronger one breaks too."""
    difficulty = np.random.default_rng(0).random(900)
    wrong = (LABELS + 1) % 10
    return Predictions(LABELS, {name: np.where(difficulty < share, wrong, LABELS) for name, share in lost.items()})


def record(lost: dict[str, float] | None = None, **others: Any) -> Record:
    made = predictions(LOST if lost is None else lost)
    attacks = {name: attack_record(LABELS, values, 10, {}, 1.0) for name, values in made.attacks.items()}
    survived = float(np.all([values == LABELS for values in made.attacks.values()], axis=0).mean())
    empty = make_record({}, **others)
    return empty.model_copy(
        update={"evaluation": empty.evaluation.model_copy(update={"attacks": attacks, "worst_case": survived})}
    )


def changed(original: Record, attack: str, **values: Any) -> Record:
    attacks = dict(original.evaluation.attacks)
    attacks[attack] = attacks[attack].model_copy(update=values)
    return original.model_copy(update={"evaluation": original.evaluation.model_copy(update={"attacks": attacks})})


def found(*records: Record) -> list[Finding]:
    return audit_runs([(f"run{number}", one) for number, one in enumerate(records)])


def test_what_was_computed_from_predictions_is_in_order() -> None:
    assert found(record(), record(seed=1), record(kind="teacher")) == []


@pytest.mark.parametrize(
    ("metric", "value"),
    [("average", 0.501), ("worst_class", 0.3), ("worst_10", 0.3), ("nsd", 0.5), ("nsd", None)],
)
def test_a_metric_that_the_confusion_matrix_does_not_give(metric: str, value: float | None) -> None:
    findings = found(changed(record(), "autoattack", **{metric: value}))
    cell = "autoattack NSD" if metric == "nsd" else f"autoattack {metric.replace('_', '-')}"
    assert ("confusion", cell) in {(f.rule, f.cell) for f in findings}
    assert {f.row for f in findings} == {"ferd on wrn-10-1, digits, seed 0"}


def test_classes_that_the_confusion_matrix_does_not_give() -> None:
    findings = found(changed(record(), "fgsm", per_class=[0.7] * 10))
    assert ("confusion", "fgsm per-class") in {(f.rule, f.cell) for f in findings}
    assert "nsd-of-classes" in {f.rule for f in findings}


@pytest.mark.parametrize("confusion", [[], [[900]], [[1, 2], [3]], np.eye(10, dtype=int).tolist()])
def test_a_confusion_matrix_of_other_images(confusion: list[list[int]]) -> None:
    (finding,) = found(changed(record(), "cw", confusion=confusion))
    assert (finding.rule, finding.cell) == ("confusion", "cw")


def test_an_undefined_nsd_is_in_order() -> None:
    assert found(record({"clean": 0.2, "pgd20": 1.1})) == []


def test_a_stronger_attack_that_leaves_one_image_more() -> None:
    made = predictions(LOST)
    better = made.attacks["fgsm"].copy()
    better[np.flatnonzero(better != LABELS)[0]] = LABELS[np.flatnonzero(better != LABELS)[0]]
    findings = found(changed(record(), "pgd20", **attack_record(LABELS, better, 10, {}, 1.0).__dict__))
    assert "pgd-above-fgsm" in {f.rule for f in findings}
    (average,) = (f for f in findings if f.rule == "pgd-above-fgsm" and f.cell == "pgd20 average")
    assert "0.11 points" in average.sentence


def test_the_one_row_of_a_table_with_another_teacher_or_other_images() -> None:
    usual = [record(seed=seed) for seed in (0, 1)]
    (finding,) = found(*usual, record(seed=2, sha256="b" * 64))
    assert (finding.where, finding.rule, finding.numbers) == (
        "run2",
        "same-teacher-sha256",
        "bbbbbbbb; the others aaaaaaaa",
    )
    (finding,) = found(*usual, record(seed=2, digest="c" * 64))
    assert (finding.where, finding.rule) == ("run2", "same-test-digest")
    assert found(*usual, record(teacher="another", sha256="b" * 64)) == []
    assert found(*usual, record(dataset="other", digest="c" * 64)) == []


def test_predictions_beside_a_record_are_counted_again(tmp_path: Path) -> None:
    save_record(tmp_path, record(), predictions(LOST))
    run = (str(tmp_path), record())
    assert audit_runs([run]) == []
    others = predictions({**LOST, "cw": 0.44})
    save_record(tmp_path, record(), Predictions(LABELS, {**others.attacks}))
    (finding,) = audit_runs([run])
    assert (finding.rule, finding.cell) == ("predictions", "cw")
    (tmp_path / "predictions.npz").write_bytes(b"damaged")
    (finding,) = audit_runs([run])
    assert finding.rule == "predictions"
    (tmp_path / "predictions.npz").unlink()
    assert audit_runs([run]) == []
