"""Records on disk: they come back as they were, invalid ones are named, and nothing is ever half-written."""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.summary import attack_record
from dfrd_bench.problem import DatasetInfo, ThreatModel
from dfrd_bench.records.files import write_atomically
from dfrd_bench.records.schema import (
    DatasetRecord,
    EnvironmentRecord,
    EvaluationRecord,
    ExperimentSpec,
    PassesRecord,
    Predictions,
    Record,
    TeacherRecord,
    TrainingRecord,
)
from dfrd_bench.records.store import find_records, load_predictions, load_record, save_record
from dfrd_bench.reporting.frame import load_results

LABELS = np.array([0, 0, 1, 1, 2, 2, 2, 0])
PREDICTED = {"clean": LABELS, "pgd20": np.array([0, 1, 1, 1, 0, 0, 0, 0])}


def spec(**changes: Any) -> ExperimentSpec:
    fields: dict[str, Any] = {
        "method": "ferd",
        "provider": "dfrd-bench 0.1",
        "config": {"epochs": 2, "gamma": 0.5},
        "dataset": "tiny",
        "teacher": TeacherRecord(name="checkpoint:t.pt", architecture="wrn-10-2", sha256="a" * 64),
        "student": "wrn-10-1",
        "threat": ThreatModel(eps=0.1, step=0.02),
        "precision": "fp32",
        "seed": 0,
    }
    return ExperimentSpec(**{**fields, **changes})


def record(predicted: dict[str, np.ndarray] = PREDICTED, **changes: Any) -> Record:
    return Record(
        created="2026-01-01T00:00:00+00:00",
        spec=spec(**changes),
        dataset=DatasetRecord(
            info=DatasetInfo(name="tiny", shape=(1, 8, 8), class_names=("a", "b", "ü")), test_images=8, test_digest="d"
        ),
        evaluation=EvaluationRecord(
            seed=0,
            attacks={name: attack_record(LABELS, p, 3, {"eps": 0.1}, 0.5) for name, p in predicted.items()},
            worst_case=float(np.all([p == LABELS for p in predicted.values()], axis=0).mean()),
        ),
        training=TrainingRecord(epochs=2, seconds=1.5, peak_memory_bytes=10, last={"loss": 0.1}),
        weights_sha256="b" * 64,
        parameters=77,
        environment=EnvironmentRecord(
            python="3.11", packages={"torch": "2"}, device="cpu", threads=1, platform="linux", git_commit=None
        ),
        warnings=("attention: ε",),
    )


def saved(folder: Path, one: Record | None = None, predicted: dict[str, np.ndarray] = PREDICTED) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_record(folder, one or record(predicted), Predictions(LABELS, predicted))
    return folder


class TestRoundTrip:
    def test_a_record_comes_back_equal(self, tmp_path: Path) -> None:
        assert load_record(saved(tmp_path / "run")) == record()

    def test_predictions_come_back_equal(self, tmp_path: Path) -> None:
        found = load_predictions(saved(tmp_path / "run"))
        assert np.array_equal(found.labels, LABELS)
        assert found.attacks.keys() == PREDICTED.keys()
        for name, predicted in PREDICTED.items():
            assert np.array_equal(found.attacks[name], predicted)
            assert found.attacks[name].dtype == np.int64

    def test_an_undefined_nsd_comes_back_as_none(self, tmp_path: Path) -> None:
        nothing = record({"pgd20": np.array([1, 1, 2, 2, 0, 0, 0, 1])})
        found = load_record(saved(tmp_path / "run", nothing)).evaluation.attacks["pgd20"]
        assert found.nsd is None
        assert found.intervals["nsd"] is None

    def test_a_record_from_before_the_target_entropy_still_loads(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "run") / "record.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        for attack in content["evaluation"]["attacks"].values():
            del attack["target_entropy"]
        path.write_text(json.dumps(content), encoding="utf-8")
        assert load_record(path.parent).evaluation.attacks["pgd20"].target_entropy is None

    def test_a_record_from_before_the_passes_loads_and_stays_the_same_to_the_byte(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "run") / "record.json"
        before = path.read_bytes()
        assert b"passes" not in before
        old = load_record(path.parent)
        assert old.training is not None
        assert old.training.passes is None
        saved(path.parent, old)
        assert path.read_bytes() == before

    def test_passes_come_back_equal(self, tmp_path: Path) -> None:
        passes = PassesRecord(
            teacher_forward=4, teacher_backward=3, student_forward=2, student_backward=1, student_steps=None
        )
        training = TrainingRecord(epochs=2, seconds=1.5, peak_memory_bytes=10, last={}, passes=passes)
        one = record().model_copy(update={"training": training})
        assert load_record(saved(tmp_path / "run", one)) == one

    def test_stages_come_back_in_their_order_and_a_record_without_them_does_not_name_them(self, tmp_path: Path) -> None:
        one = record()
        stages = {"zealous": 0.875, "able": 0.5}
        attacks = {
            **one.evaluation.attacks,
            "clean": one.evaluation.attacks["clean"].model_copy(update={"stages": stages}),
        }
        staged = one.model_copy(update={"evaluation": one.evaluation.model_copy(update={"attacks": attacks})})
        found = load_record(saved(tmp_path / "run", staged)).evaluation.attacks
        assert [*(found["clean"].stages or {}).items()] == [*stages.items()]
        assert found["pgd20"].stages is None
        assert (tmp_path / "run" / "record.json").read_text(encoding="utf-8").count('"stages"') == 1

    def test_the_file_is_plain_json(self, tmp_path: Path) -> None:
        content = json.loads((saved(tmp_path / "run") / "record.json").read_text(encoding="utf-8"))
        assert content["schema_version"] == 3
        assert content["dataset"]["info"]["class_names"][2] == "ü"
        assert content["evaluation"]["attacks"]["pgd20"]["confusion"] == [[2, 1, 0], [0, 2, 0], [3, 0, 0]]

    def test_every_number_follows_from_the_predictions_beside_it(self, tmp_path: Path) -> None:
        folder = saved(tmp_path / "run")
        predictions = load_predictions(folder)
        for name, attack in load_record(folder).evaluation.attacks.items():
            assert attack.average == np.mean(predictions.attacks[name] == predictions.labels)


class TestInvalid:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda c: c.pop("spec"), r"spec: Field required"),
            (lambda c: c["spec"].update(seed=-1), r"spec\.seed: "),
            (lambda c: c["evaluation"].update(worst_case=1.5), r"evaluation\.worst_case: "),
            (lambda c: c.update(schema_version=0), r"schema_version: "),
            (lambda c: c.update(surprise=1), r"surprise: Extra inputs"),
            (lambda c: c["evaluation"]["attacks"]["clean"].update(average="x"), r"attacks\.clean\.average: "),
        ],
    )
    def test_a_wrong_field_is_named_in_one_line(self, tmp_path: Path, change: Any, message: str) -> None:
        path = saved(tmp_path / "run") / "record.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        change(content)
        path.write_text(json.dumps(content), encoding="utf-8")
        with pytest.raises(DfrdBenchError, match=rf"record\.json is not a valid record: .*{message}") as caught:
            load_record(path.parent)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[]", b"null"])
    def test_what_is_no_record_is_refused_in_one_line(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "record.json").write_bytes(content)
        with pytest.raises(DfrdBenchError, match=r"record\.json") as caught:
            load_record(tmp_path)
        assert "\n" not in str(caught.value)

    def test_a_folder_without_a_record_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DfrdBenchError, match=r"No record in .*: record\.json is missing"):
            load_record(tmp_path)

    @pytest.mark.parametrize("content", [None, b"", b"no archive", b"PK\x03\x04half"])
    def test_missing_or_damaged_predictions_are_refused(self, tmp_path: Path, content: bytes | None) -> None:
        if content is not None:
            (tmp_path / "predictions.npz").write_bytes(content)
        wrong = r"^There is no predictions\.npz in" if content is None else r"predictions\.npz is truncated, corrupt"
        with pytest.raises(DfrdBenchError, match=wrong):
            load_predictions(tmp_path)

    def test_truncated_predictions_are_refused(self, tmp_path: Path) -> None:
        path = saved(tmp_path) / "predictions.npz"
        path.write_bytes(path.read_bytes()[:-30])
        with pytest.raises(DfrdBenchError, match=r"predictions\.npz is truncated, corrupt"):
            load_predictions(tmp_path)


class TestWriteAtomically:
    def test_makes_folders_and_replaces_what_was_there(self, tmp_path: Path) -> None:
        path = tmp_path / "a" / "b" / "file"
        write_atomically(path, b"one")
        write_atomically(path, b"two")
        assert path.read_bytes() == b"two"
        assert tiny.files_below(tmp_path) == ["a/b/file"]

    @pytest.mark.parametrize("where", ["fsync", "replace"])
    def test_a_failure_leaves_the_old_content_and_nothing_else(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
    ) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"old")

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os if where == "fsync" else Path, where, full)
        with pytest.raises(DfrdBenchError, match=r"^Cannot write .*file: No space left on device\.$"):
            write_atomically(path, b"new")
        monkeypatch.undo()
        assert path.read_bytes() == b"old"
        assert tiny.files_below(tmp_path) == ["file"]

    def test_a_reader_never_sees_a_part(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path, seen = tmp_path / "file", []
        path.write_bytes(b"old")
        monkeypatch.setattr(os, "fsync", lambda _: seen.append(path.read_bytes()))
        write_atomically(path, b"new" * 1000)
        assert seen == [b"old", b"new" * 1000]  # the file is flushed, then its folder

    def test_a_file_in_the_way_of_the_folder_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "results").write_bytes(b"")
        with pytest.raises(DfrdBenchError, match=r"^Cannot write .*results/run/file: "):
            write_atomically(tmp_path / "results" / "run" / "file", b"x")

    @pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
    def test_a_pipe_or_a_device_stays_what_it_is_and_is_written_into(self, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        write_atomically(pipe, b"into it")
        assert os.read(reader, 100) == b"into it"
        os.close(reader)
        assert pipe.is_fifo()
        assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


class TestDigest:
    other: dict[str, Any] = {  # noqa: RUF012
        "kind": "teacher",
        "method": "zskt",
        "provider": "dfrd-bench 0.2",
        "config": {"epochs": 2, "gamma": 0.6},
        "dataset": "other",
        "teacher": TeacherRecord(name="checkpoint:t.pt", architecture="wrn-10-2", sha256="c" * 64),
        "student": "wrn-10-2",
        "threat": ThreatModel(eps=0.1, step=0.03),
        "precision": "bf16",
        "compiled": True,
        "seed": 1,
        "sees": "training images",
        "natural_teacher": TeacherRecord(name="run:default-seed0", architecture="resnet-56", sha256="d" * 64),
        "code": "e" * 64,
    }

    def test_every_field_but_the_variant_is_tried_here(self) -> None:
        assert set(ExperimentSpec.model_fields) == {*self.other, "variant"}

    @pytest.mark.parametrize("field", other)
    def test_changes_with(self, field: str) -> None:
        assert spec(**{field: self.other[field]}).digest() != spec().digest()

    def test_does_not_change_with_the_variants_label_or_the_order_of_settings(self) -> None:
        assert spec(variant="utae=false").digest() == spec().digest()
        assert spec(config={"gamma": 0.5, "epochs": 2}).digest() == spec().digest()

    def test_a_data_free_run_is_written_as_before_there_were_others(self) -> None:
        assert "sees" not in spec().model_dump(mode="json")
        assert spec(sees="training images").model_dump(mode="json")["sees"] == "training images"

    def test_of_runs_older_than_compilation_stays(self) -> None:
        content = spec().model_dump(mode="json", exclude={"variant", "compiled"})
        assert spec().digest() == hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]

    def test_survives_the_disk(self, tmp_path: Path) -> None:
        assert load_record(saved(tmp_path)).spec.digest() == spec().digest()

    def test_is_eight_hexadecimal_digits_at_the_end_of_the_folders_name(self) -> None:
        folder = spec(variant="gamma=0.3").folder(Path("results"))
        assert folder.name == f"gamma=0.3-seed0-{spec().digest()}"
        assert len(spec().digest()) == 8
        assert int(spec().digest(), 16) >= 0

    def test_folders_stay_below_the_results_whatever_the_names(self, tmp_path: Path) -> None:
        nasty = spec(
            variant="layer=../../x y",
            student="..",
            teacher=TeacherRecord(name="checkpoint:../../etc", architecture="a", sha256="a"),
        )
        folder = nasty.folder(tmp_path)
        assert folder.resolve().is_relative_to(tmp_path.resolve())
        assert len(folder.relative_to(tmp_path).parts) == 5


class TestLoadResults:
    def test_frame_has_a_row_per_run_attack_and_metric(self, tmp_path: Path) -> None:
        for seed in (0, 1):
            one = record(seed=seed)
            saved(one.spec.folder(tmp_path), one)
        frame = load_results(tmp_path)
        assert len(frame) == 2 * (2 * 4 + 1)
        assert frame.groupby("run").size().tolist() == [9, 9]
        row = frame.query("seed == 1 and attack == 'pgd20' and metric == 'average'").iloc[0]
        assert row.value == 0.5
        assert (row.low, row.high) == record().evaluation.attacks["pgd20"].intervals["average"]
        assert (row.dataset, row.student, row.method, row.num_classes) == ("tiny", "wrn-10-1", "ferd", 3)
        worst = frame.query("seed == 0 and metric == 'worst_case'").iloc[0]
        assert (worst.attack, worst.value) == ("all", 0.5)

    def test_an_undefined_nsd_is_nan(self, tmp_path: Path) -> None:
        saved(tmp_path / "run", predicted={"pgd20": np.array([1, 1, 2, 2, 0, 0, 0, 1])})
        (value,) = load_results(tmp_path).query("metric == 'nsd'").value
        assert math.isnan(value)

    def test_invalid_records_are_skipped_and_named_in_the_log(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        saved(tmp_path / "good")
        (tmp_path / "bad").mkdir()
        (tmp_path / "bad" / "record.json").write_text("{}")
        assert set(load_results(tmp_path)["run"]) == {str(tmp_path / "good")}
        assert "bad/record.json is not a valid record" in caplog.text

    def test_an_empty_folder_gives_an_empty_frame_with_its_columns(self, tmp_path: Path) -> None:
        frame = load_results(tmp_path)
        assert len(frame) == 0
        assert {"method", "attack", "metric", "value"} <= set(frame.columns)

    def test_a_missing_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DfrdBenchError, match="There is no results folder"):
            load_results(tmp_path / "nowhere")

    def test_records_are_found_in_order_of_their_paths(self, tmp_path: Path) -> None:
        for name in ("b", "a/deep", "c"):
            saved(tmp_path / name)
        assert [str(folder.relative_to(tmp_path)) for folder, _ in find_records(tmp_path)] == ["a/deep", "b", "c"]
