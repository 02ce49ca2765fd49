"""RobustBench's own code reads our entry, by its own keys."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from dfrd_bench import DfrdBenchError
from dfrd_bench.evaluation.best_known import BestKnown, Contest
from dfrd_bench.exchange.robustbench_entry import architecture, robustbench_entry, to_fill_in, why_no_entry
from dfrd_bench.records.schema import Record
from dfrd_bench.records.store import load_record
from dfrd_bench.teachers.robustbench_import import robustbench

RUN = Path(__file__).parents[2] / "results/digits/digits-wrn-10-2/wrn-10-1/ferd/default-seed1-96fe9e44"


@pytest.fixture
def record() -> Record:
    """A record as if of CIFAR-10: clean 97.33 %, AutoAttack 64.44 %."""
    digits = load_record(RUN)
    info = digits.dataset.info.model_copy(update={"name": "cifar10"})
    threat = digits.spec.threat.model_copy(update={"eps": 8 / 255})
    return digits.model_copy(
        update={
            "dataset": digits.dataset.model_copy(update={"info": info, "test_images": 10_000}),
            "spec": digits.spec.model_copy(update={"dataset": "cifar10", "threat": threat, "student": "wrn-34-10"}),
        }
    )


def test_the_keys_are_robustbenchs(record: Record) -> None:
    entry = robustbench_entry(record, BestKnown(0.64, 0.64), authors="A. Author", additional_data=False)
    assert entry.keys() <= {field.name for field in dataclasses.fields(robustbench("utils").ModelInfo)}
    assert (entry["clean_acc"], entry["autoattack_acc"], entry["eps"]) == ("97.33", "64.44", "8/255")
    assert entry["name"].startswith("FERD: Fairness-Enhanced")
    assert to_fill_in(entry) == []
    assert to_fill_in(robustbench_entry(record, BestKnown(0.64, 0.64))) == ["authors", "additional_data"]


def test_robustbenchs_leaderboard_reads_it(record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "model_info" / "cifar10" / "Linf"
    folder.mkdir(parents=True)
    entry = robustbench_entry(record, BestKnown(0.64, 0.64), authors="A. Author", additional_data=False)
    (folder / "Author2026FERD.json").write_text(json.dumps(entry))
    monkeypatch.chdir(tmp_path)
    row = robustbench("utils").get_leaderboard_latex("cifar10", "Linf")
    assert "97.33" in row
    assert "64.44" in row
    assert "WRN-34-10" in row


def test_what_others_found_lower_is_external(record: Record) -> None:
    contest = Contest(RUN, type("Made", (), {"by": "A. Nother"})(), 0.6, 12)  # type: ignore[arg-type]
    entry = robustbench_entry(record, BestKnown(0.6, 0.64, (contest,)))
    assert entry["external"] == "60.00"
    assert "60.00% robust accuracy is due to evaluations by A. Nother." in entry["footnote"]
    assert "external" not in robustbench_entry(record, BestKnown(0.64, 0.64))


def test_there_is_no_entry_for_other_datasets_part_of_the_images_or_without_autoattack(record: Record) -> None:
    assert why_no_entry(record) == ""
    assert "no leaderboard for digits" in why_no_entry(load_record(RUN))
    part = record.model_copy(update={"dataset": record.dataset.model_copy(update={"test_images": 1000})})
    assert "asks for all 10,000 test images" in why_no_entry(part)
    attacks = {name: result for name, result in record.evaluation.attacks.items() if name != "autoattack"}
    weak = record.model_copy(update={"evaluation": record.evaluation.model_copy(update={"attacks": attacks})})
    with pytest.raises(DfrdBenchError, match="needs autoattack"):
        robustbench_entry(weak, BestKnown(0.7, 0.7))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("wrn-34-10", "WideResNet-34-10"),
        ("wrn:16-3", "WideResNet-16-3"),
        ("resnet-18", "ResNet-18"),
        ("preactresnet-18", "PreActResNet-18"),
        ("mobilenet-v2", "MobileNet-V2"),
        ("my-own", "my-own"),
    ],
)
def test_architectures_are_called_as_there(ours: str, theirs: str) -> None:
    assert architecture(ours) == theirs
