"""`dfrd-bench verify` finds every way in which a record, its predictions and its weights can stop agreeing."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny

from dfrd_bench.cli import threads
from dfrd_bench.evaluation import helpers, under_attack
from dfrd_bench.records.arrays import read_arrays, write_arrays
from dfrd_bench.records.store import load_record
from dfrd_bench.records.sweeps import SweepPoint, SweepRecord, save_sweep

pytestmark = pytest.mark.usefixtures("few_digits")


def edit(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads((run / "record.json").read_text())
    change(content)
    (run / "record.json").write_text(json.dumps(content))


def noting(call: Callable[..., Any], asked: list[Any]) -> Callable[..., Any]:
    """The same call, which is noted."""

    def noted(*args: Any, **how: Any) -> Any:
        asked.append(args)
        return call(*args, **how)

    return noted


def test_a_record_as_it_was_made_holds_also_when_it_is_attacked_again(run: Path, made: Path) -> None:
    assert tiny.command("verify", run).code == 0
    again = tiny.command("verify", made, "--rerun", "--quiet")
    assert again.code == 0
    assert again.out.startswith("holds")
    assert not list(made.rglob("rerun"))


@pytest.mark.parametrize("number", ["average", "worst_class", "worst_10", "nsd", "target_entropy"])
def test_a_changed_number_is_named(run: Path, number: str) -> None:
    edit(run, lambda record: record["evaluation"]["attacks"]["pgd20"].update({number: 0.123}))
    done = tiny.command("verify", run)
    assert done.code == 1
    assert f"evaluation.attacks.pgd20.{number}: 0.123 recorded" in done.out
    assert done.out.count(" recorded, ") == 1
    assert [line.split()[0] for line in done.out.splitlines()[:4]] == [
        "differs",
        "–",
        "holds",
        "differs",
    ]  # run, checks


def test_a_changed_interval_confusion_matrix_and_worst_case_are_named(run: Path) -> None:
    def change(record: dict[str, Any]) -> None:
        record["evaluation"]["worst_case"] = 1.0
        record["evaluation"]["attacks"]["clean"]["intervals"]["average"] = [0.0, 1.0]
        record["evaluation"]["attacks"]["clean"]["confusion"][0][0] += 1

    edit(run, change)
    out = tiny.command("verify", run).out
    for named in ("evaluation.worst_case", "clean.intervals.average[", "clean.confusion[0][0]"):
        assert named in out


@pytest.mark.parametrize(
    ("before", "excess", "said"),
    [(0.0, 0.0, ""), (0.0, 0.1, "stages: they end at"), (-0.001, 0.0, "stages: an image that was broken stands again")],
)
def test_stages_that_cannot_have_led_to_the_predictions_are_named(
    run: Path, before: float, excess: float, said: str
) -> None:
    def change(record: dict[str, Any]) -> None:
        attack = record["evaluation"]["attacks"]["pgd20"]
        last = attack["average"] + excess
        attack["stages"] = {"one": 1.0, "two": last + before, "three": last}

    edit(run, change)
    done = tiny.command("verify", run)
    assert done.code == (1 if said else 0)
    assert said in done.out


def test_an_attack_without_predictions_is_named(run: Path) -> None:
    arrays = read_arrays(run / "predictions.npz", "labels")
    del arrays["attack_pgd20"]
    write_arrays(run / "predictions.npz", arrays)
    done = tiny.command("verify", run)
    assert done.code == 1
    assert "pgd20" in done.out


def test_predictions_the_weights_do_not_give_are_found_by_attacking_again(run: Path) -> None:
    """A forger who keeps record and predictions consistent is caught by the weights."""
    from dfrd_bench.evaluation.recomputation import recomputed
    from dfrd_bench.records.schema import Predictions
    from dfrd_bench.records.store import load_predictions, save_record

    record, predictions = load_record(run), load_predictions(run)
    better = {name: values.copy() for name, values in predictions.attacks.items()}
    wrong = np.flatnonzero(better["pgd20"] != predictions.labels)[:2]
    better["pgd20"][wrong] = predictions.labels[wrong]
    forged = Predictions(predictions.labels, better)
    save_record(run, record.model_copy(update={"evaluation": recomputed(record, forged)}), forged)
    assert tiny.command("verify", run).code == 0
    done = tiny.command("verify", run, "--rerun", "--quiet")
    assert done.code == 1
    assert "pgd20: 2 of" in done.out
    assert tiny.command("verify", run, "--rerun", "--quiet", "--attacks", "clean").code == 0


def test_attacking_again_leaves_what_a_stopped_evaluation_kept_alone(run: Path) -> None:
    """It could hold the very predictions that are in doubt."""
    kept = run / "evaluation" / "pgd20.npz"
    write_arrays(kept, {"anything": np.zeros(1)})
    before = kept.read_bytes()
    assert tiny.command("verify", run, "--rerun", "--quiet").code == 0
    assert kept.read_bytes() == before


def test_other_test_images_are_refused(run: Path) -> None:
    edit(run, lambda record: record["dataset"].update({"test_digest": 64 * "0"}))
    done = tiny.command("verify", run, "--rerun", "--quiet")
    assert done.code != 0
    assert "The test images of digits are not those of the record" in done.out + done.err


@pytest.mark.parametrize("change", ["fewer images", "an attack is missing"])
def test_predictions_that_are_incomplete_are_named_and_not_compared(run: Path, change: str) -> None:
    arrays = read_arrays(run / "predictions.npz", "labels")
    if change == "fewer images":
        arrays = {name: values[:-1] for name, values in arrays.items()}
    else:
        del arrays["attack_clean"]
    write_arrays(run / "predictions.npz", arrays)
    done = tiny.command("verify", run, "--rerun", "--quiet")
    assert done.code == 1
    assert ("test_images" if change == "fewer images" else "clean") in done.out


def test_a_record_older_than_a_number_with_incomplete_predictions_is_no_crash(run: Path) -> None:
    edit(run, lambda record: [a.pop("target_entropy") for a in record["evaluation"]["attacks"].values()] and None)
    arrays = read_arrays(run / "predictions.npz", "labels")
    del arrays["attack_clean"]
    write_arrays(run / "predictions.npz", arrays)
    before = (run / "record.json").read_bytes()
    tiny.command("evaluate", run, "--attacks", "clean", "--quiet")
    assert (run / "record.json").read_bytes() == before


def test_weights_of_another_network_are_refused(run: Path) -> None:
    data = bytearray((run / "student.safetensors").read_bytes())
    data[-1] ^= 1
    (run / "student.safetensors").write_bytes(bytes(data))
    done = tiny.command("verify", run, "--rerun", "--quiet")
    assert done.code == 1
    assert "is not the network" in done.out


def test_five_thousand_classes_that_are_none_are_named_without_counting_them(run: Path) -> None:
    edit(run, lambda record: record["dataset"]["info"].update(class_names=[str(k) for k in range(5000)]))
    out = tiny.command("verify", run).out
    assert "confusion: not a matrix of the 5000 classes recorded" in out


@pytest.mark.parametrize("file", ["student.safetensors", "record.json"])
def test_another_weights_file_and_an_edited_seed_are_named(run: Path, file: str) -> None:
    folder = run.rename(run.parent / f"default-seed0-{load_record(run).spec.digest()}")
    assert tiny.command("verify", folder).code == 0
    if file == "record.json":
        edit(folder, lambda record: record["spec"].update(seed=7))
    else:
        (folder / file).write_bytes(b"another network")
    done = tiny.command("verify", folder)
    assert done.code == 1
    assert ("sha256 differ" if file != "record.json" else "The folder is named for seed 0") in done.out


def test_of_one_record_it_says_what_was_held_against_what_and_what_was_not_asked(run: Path) -> None:
    folder = run.rename(run.parent / f"default-seed0-{load_record(run).spec.digest()}")
    done = tiny.command("verify", folder)
    verdict, named, weights, numbers, unasked, spent = done.out.splitlines()
    assert verdict == f"holds    {folder}"
    assert re.search(r"^ +holds +folder: named for seed 0 and settings [0-9a-f]{8},", named)
    assert re.search(r"^ +holds +weights: student.safetensors is the network that was measured, sha256 ", weights)
    content = json.loads((folder / "record.json").read_text())["evaluation"]
    bounds = sum(2 if found else 1 for attack in content["attacks"].values() for found in attack["intervals"].values())
    count = 2 * (100 + 10 + 5) + bounds + 1  # confusion matrix, classes, metrics and entropy; the worst case
    assert f"numbers: {count} of 2 attacks (clean, pgd20) computed again from the predictions of 60 images" in numbers
    assert unasked.startswith("Not asked: whether the weights give these predictions")
    assert re.search(r"^Checked in \d", spent)


def test_what_is_not_there_is_not_said_to_hold_and_a_rerun_is_named(run: Path) -> None:
    again = tiny.command("verify", run, "--rerun", "--quiet", "--attacks", "clean")
    assert re.search(r"^ +– +folder: is not named for a seed", again.out, re.MULTILINE)
    assert re.search(r"^ +holds +rerun: the stored weights, attacked again with clean on", again.out, re.MULTILINE)
    assert "Not asked: whether the weights give the predictions under pgd20.\n" in again.out
    assert "Not asked" not in tiny.command("verify", run, "--rerun", "--quiet").out
    (run / "student.safetensors").unlink()
    done = tiny.command("verify", run)
    assert (done.code, "–        weights: are not kept" in done.out) == (0, True)


def test_of_many_records_the_sum_is_said_and_only_what_differs_in_full(run: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        shutil.copytree(run, tmp_path / "all" / name)
    edit(tmp_path / "all" / "b", lambda record: record["evaluation"].update(worst_case=1.0))
    done = tiny.command("verify", tmp_path / "all")
    assert done.code == 1
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")][:3] == ["holds", "differs", "holds"]
    assert sum("numbers:" in line for line in lines) == 1
    assert "2 records hold: " in done.out
    assert "of 4 attacks, computed again" in done.out
    assert lines[-1] == "1 of 3 records differ or cannot be checked."


def test_nothing_to_verify_is_a_mistake_of_the_user(tmp_path: Path) -> None:
    done = tiny.command("verify", tmp_path)
    assert done.code == 2
    assert len(done.err.strip().splitlines()) == 1


def test_evaluate_completes_a_record_that_is_older_than_a_number(run: Path) -> None:
    before = load_record(run)
    edit(run, lambda record: [a.pop("target_entropy") for a in record["evaluation"]["attacks"].values()] and None)
    assert tiny.command("verify", run).code == 1
    assert tiny.command("evaluate", run, "--attacks", "clean", "--quiet").code == 0
    assert tiny.command("verify", run).code == 0
    assert load_record(run) == before


def test_a_path_that_is_not_there_is_said_and_the_nearest_run_named(run: Path, tmp_path: Path) -> None:
    done = tiny.command("verify", run.with_name(run.name + "x"))
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert done.err.startswith(f"Error: There is no folder {run}x.")
    assert repr(str(run)) in done.err
    (tmp_path / "empty").mkdir()
    done = tiny.command("verify", tmp_path / "empty")
    assert "There is no record below" in done.err
    assert "no record.json in it or in a folder of it" in done.err


def test_a_sweep_beside_a_record_is_held_against_it(run: Path) -> None:
    assert "sweeps:" not in tiny.command("verify", run).out
    record = load_record(run)
    clean, eps = record.evaluation.attacks["clean"].average, record.spec.threat.eps
    points = tuple(SweepPoint(eps=level, average=left, worst_class=0) for level, left in ((0, clean), (eps, 0.0)))
    sweep = SweepRecord(
        **{"created": record.created, "attack": "pgd20", "provider": "test", "eps": eps, "seed": 0, "points": points},
        weights_sha256=record.weights_sha256,
        test_digest=record.dataset.test_digest,
        environment=record.environment,
    )
    attacked = record.evaluation.attacks["pgd20"]
    agreeing = points[1].model_copy(update={"average": attacked.average})
    save_sweep(run, sweep.model_copy(update={"points": (points[0], agreeing)}))
    done = tiny.command("verify", run)
    assert (done.code, "holds    sweeps: 1 over ε (curve-*.json)" in done.out) == (0, True)
    save_sweep(run, sweep.model_copy(update={"weights_sha256": "b" * 64}))
    done = tiny.command("verify", run)
    assert (done.code, "differs  sweeps: 1 over ε" in done.out) == (1, True)
    assert "It is of other weights" in done.out


def test_two_processes_that_attack_again_find_the_recorded_predictions(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "processors", lambda: 2)
    monkeypatch.setattr(under_attack, "BATCH_SIZE", 30)
    monkeypatch.setattr(helpers, "BATCH_SIZE", 30)
    asked = []
    monkeypatch.setattr(helpers.Helpers, "begin", noting(helpers.Helpers.begin, asked))
    done = tiny.command("verify", run, "--rerun", "--jobs", "2", "--attacks", "clean", "--quiet")
    assert (done.code, done.out[:5]) == (0, "holds"), done.err
    assert asked
    assert tiny.command("verify", run, "--jobs", "2").code == 2
