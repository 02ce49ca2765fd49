"""The committed records say what their predictions say, and speak of the weights beside them."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from dfrd_bench.datasets.digits import Digits
from dfrd_bench.evaluation.swept import swept
from dfrd_bench.records.schema import Record
from dfrd_bench.records.store import load_predictions, load_record, teacher_folder
from dfrd_bench.records.sweeps import is_sweep
from dfrd_bench.reporting.audit.recorded import audit_runs
from dfrd_bench.reporting.found import find_runs
from dfrd_bench.runs.verification import verify_run

RESULTS = Path(__file__).parent.parent / "results"
FOLDERS = sorted(path.parent for path in RESULTS.rglob("record.json"))
SHIPPED = files("dfrd_bench.teachers") / "weights"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(RESULTS)))
class TestCommitted:
    def test_holds_only_what_a_finished_run_leaves_behind(self, folder: Path) -> None:
        known = {"record.json", "predictions.npz", "history.jsonl", "student.safetensors"}
        known |= {"samples.npz", "samples.png", "confusion.png"}
        assert {path.name for path in folder.iterdir() if not is_sweep(path.name)} <= known

    def test_sweeps_over_eps_agree_with_the_record(self, folder: Path) -> None:
        found = swept(folder, load_record(folder))
        assert not found.doubted
        assert len(found.sweeps) == sum(is_sweep(path.name) for path in folder.iterdir())

    def test_numbers_follow_from_the_predictions(self, folder: Path) -> None:
        record, predictions = load_record(folder), load_predictions(folder)
        classes = range(record.dataset.info.num_classes)
        survived = np.ones(len(predictions.labels), dtype=bool)
        assert predictions.attacks.keys() == record.evaluation.attacks.keys()
        for name, attack in record.evaluation.attacks.items():
            predicted = predictions.attacks[name]
            survived &= predicted == predictions.labels
            assert confusion_matrix(predictions.labels, predicted, labels=classes).tolist() == attack.confusion
            shares = [float(np.mean(predicted[predictions.labels == k] == k)) for k in classes]
            assert attack.per_class == pytest.approx(shares)
            assert attack.average == pytest.approx(np.mean(predicted == predictions.labels))
            assert attack.worst_class == pytest.approx(min(shares))
            if any(shares):
                assert attack.nsd == pytest.approx(np.std(shares) / np.mean(shares))
            else:
                assert attack.nsd is None
        assert record.evaluation.worst_case == pytest.approx(survived.mean())

    def test_holds_in_every_number_when_it_is_computed_again(self, folder: Path) -> None:
        assert verify_run(folder) == []

    def test_weights_are_those_that_were_measured(self, folder: Path) -> None:
        record = load_record(folder)
        weights = folder / "student.safetensors"
        if record.spec.kind == "student":
            assert hashlib.sha256(weights.read_bytes()).hexdigest() == record.weights_sha256

    def test_folder_is_the_one_its_spec_names(self, folder: Path) -> None:
        spec = load_record(folder).spec
        beside_weights = teacher_folder(RESULTS / "teachers" / spec.teacher.name.removeprefix("checkpoint:"))
        assert folder in (
            spec.folder(RESULTS),
            *(
                spec.folder(RESULTS / part)
                for part in ("cifar10-jpeg", "corrections", "probed", "superseded", "superseded/cifar10-jpeg", "sweeps")
            ),
            beside_weights,
        )


def test_committed_runs_break_no_rule_of_arithmetic_and_share_teacher_and_images() -> None:
    findings = audit_runs(find_runs([RESULTS]).runs)
    assert [finding for finding in findings if finding.kind != "suspicious"] == []


def test_digits_records_were_measured_on_todays_test_images() -> None:
    digest = Digits().load("test").digest()
    digits = [record for folder in FOLDERS if (record := load_record(folder)).spec.dataset == "digits"]
    assert digits
    assert {record.dataset.test_digest for record in digits} == {digest}


def test_a_shipped_teacher_has_one_record_the_one_in_results() -> None:
    """So that a fresh user's row of the teacher is the README's."""
    teachers = [folder for folder in FOLDERS if load_record(folder).spec.kind == "teacher"]
    current = {load_record(folder).spec.teacher.name: folder for folder in teachers if "superseded" not in folder.parts}
    shipped = {path.name.removesuffix(".record.json") for path in SHIPPED.iterdir() if path.name.endswith(".json")}
    assert "digits-wrn-10-2" in current.keys() & shipped
    for name in current.keys() & shipped:
        text = (SHIPPED / f"{name}.record.json").read_bytes()
        assert text == (current[name] / "record.json").read_bytes(), f"copy {current[name]}/record.json over {name}'s"


@pytest.mark.parametrize(("name", "least", "most"), [("digits-wrn-10-2", 0.6, 1), ("digits-natural-wrn-10-1", 0, 0)])
def test_the_shipped_record_describes_the_shipped_teacher(name: str, least: float, most: float) -> None:
    record = Record.model_validate(json.loads((SHIPPED / f"{name}.record.json").read_text("utf-8")))
    weights = (SHIPPED / f"{name}.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == record.weights_sha256 == record.spec.teacher.sha256
    assert least <= record.evaluation.attacks["autoattack"].average <= most
