"""A number that contradicts what it was made from is never printed: its run is named and left out, and the exit code says so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny
from measured_runs import measured, right_on

from dfrd_bench import load_results
from dfrd_bench.evaluation.contradictions import _intervals_astray
from dfrd_bench.evaluation.statistics import bootstrap_intervals
from dfrd_bench.records.arrays import read_arrays, write_arrays
from dfrd_bench.records.store import load_record
from dfrd_bench.reporting.found import believed, find_runs

Change = Callable[[dict[str, Any]], object]
FORMATS = ("terminal", "markdown", "latex", "csv", "html")


def attack(record: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = record["evaluation"]["attacks"]["pgd20"]
    return found


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two runs whose records are true: FERD is right on 480 of 600 images, Fast on 420."""
    return tuple(  # type: ignore[return-value]
        Path(measured(tmp_path / "results", {"clean": right_on(0), "pgd20": right_on(wrong)}, method=method)[0])
        for method, wrong in (("ferd", 120), ("fast", 180))
    )


def edit(run: Path, change: Change) -> None:
    content = json.loads((run / "record.json").read_text())
    change(content)
    (run / "record.json").write_text(json.dumps(content))


def matrix(content: list[Any]) -> Change:
    return lambda record: attack(record).update(confusion=content)


EDITED: dict[str, tuple[Change, str]] = {
    "average": (lambda r: attack(r).update(average=0.99), "pgd20: average is 0.99, the confusion matrix gives 0.8"),
    "worst_class": (lambda r: attack(r).update(worst_class=0.1), "pgd20: worst_class is 0.1"),
    "worst_10": (lambda r: attack(r).update(worst_10=0.1), "pgd20: worst_10 is 0.1"),
    "nsd": (lambda r: attack(r).update(nsd=None), "pgd20: nsd is None"),
    "per_class": (lambda r: attack(r).update(per_class=[0.8] * 9), "pgd20: per_class is"),
    "target_entropy": (lambda r: attack(r).update(target_entropy=0.5), "pgd20: target_entropy is 0.5"),
    "interval": (lambda r: attack(r)["intervals"].update(average=[0.0, 1.0]), "The interval of average is [0.0, 1.0]"),
    "stages": (lambda r: attack(r).update(stages={"one": 0.9}), "Its stages end at 0.9"),
    "worst_case": (lambda r: r["evaluation"].update(worst_case=0.85), "worst_case is 0.85"),
    "lower-worst_case": (lambda r: r["evaluation"].update(worst_case=0.1), "survives every attack is 0.1"),
    "seed": (lambda r: r["spec"].update(seed=7), "The folder is named for seed 0"),
    "config": (lambda r: r["spec"]["config"].update(epochs=200), "The folder is named for seed 0 and settings"),
    "test_images": (lambda r: r["dataset"].update(test_images=900), "does not count 900 images of 10 classes"),
    "classes": (
        lambda r: r["dataset"]["info"].update(class_names=[str(k) for k in range(5000)]),
        "does not count 600 images of 5000 classes",
    ),
    "no matrix": (matrix([]), "does not count 600 images"),
    "empty rows": (matrix([[]]), "does not count 600 images"),
    "ragged": (matrix([[1] * 10] * 9 + [[]]), "does not count 600 images"),
    "huge": (matrix([[10**25] * 10] * 10), "does not count 600 images"),
    "negative": (matrix([[-1, 61, *[0] * 8], *[[60, *[0] * 9]] * 9]), "does not count 600 images"),
    "other matrix": (matrix(np.diag([60] * 10).tolist()), "pgd20: average is 0.8, the confusion matrix gives 1.0"),
}


def test_true_records_are_believed(pair: tuple[Path, Path]) -> None:
    found = believed(find_runs([pair[0], pair[1]]))
    assert [where for where, _ in found.runs] == [*map(str, pair)]
    assert found.skipped == []


@pytest.mark.parametrize(("change", "why"), EDITED.values(), ids=EDITED)
def test_a_record_that_was_edited_is_named_and_left_out(pair: tuple[Path, Path], change: Change, why: str) -> None:
    edit(pair[0], change)
    (skipped,) = believed(find_runs([*pair])).skipped
    assert skipped.startswith(f"{pair[0] / 'record.json'} contradicts its evidence: ")
    assert why in skipped
    assert "\n" not in skipped
    assert len(skipped) < 700
    assert set(load_results(pair[0].parents[4])["run"]) == {str(pair[1])}


def arrays(**changes: Any) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        path = run / "predictions.npz"
        kept = read_arrays(path, "labels")
        write_arrays(path, {name: changes.get(name, lambda values: values)(values) for name, values in kept.items()})

    return change


def other_weights(run: Path) -> None:
    (run / "student.safetensors").write_bytes(b"another network")


BESIDE: dict[str, Callable[[Path], None]] = {
    "float predictions": arrays(attack_pgd20=lambda values: values + 0.4),
    "other predictions": arrays(attack_pgd20=lambda values: np.roll(values, 1)),
    "fewer predictions": arrays(attack_pgd20=lambda values: values[:-1]),
    "other labels": arrays(labels=lambda values: values[::-1]),
    "no class": arrays(attack_clean=lambda values: values + 100),
    "other weights": other_weights,
    "a folder for weights": lambda run: (run / "student.safetensors").mkdir(),
    "one array": lambda run: np.save((run / "predictions.npz").open("wb"), np.zeros(600, "i2")),
    "no archive": lambda run: (run / "predictions.npz").write_bytes(b"PK\x03\x04half") and None,
    "a folder": lambda run: (run / "predictions.npz").unlink() or (run / "predictions.npz").mkdir(),
    "a dangling link": lambda run: (
        (run / "predictions.npz").unlink() or (run / "predictions.npz").symlink_to(run / "gone")
    ),
}


@pytest.mark.parametrize("change", BESIDE.values(), ids=BESIDE)
def test_a_record_whose_files_are_anothers_is_named_and_left_out(
    pair: tuple[Path, Path], change: Callable[[Path], None]
) -> None:
    change(pair[0])
    found = believed(find_runs([*pair]))
    assert [where for where, _ in found.runs] == [str(pair[1])]
    assert len(found.skipped) == 1
    audit = tiny.command("audit", pair[0].parents[4])
    assert audit.code == 1
    assert f"{pair[0]}\n" in audit.out


@pytest.mark.parametrize("style", FORMATS)
def test_no_format_of_the_table_prints_it(pair: tuple[Path, Path], style: str) -> None:
    edit(pair[0], EDITED["average"][0])
    done = tiny.command("table", pair[0].parents[4], "--format", style)
    assert done.code == 1
    assert done.err.startswith(f"Skipped: {pair[0]}")
    assert ("0.7" if style == "csv" else "70.00") in done.out
    assert "99" not in done.out


@pytest.mark.parametrize("args", [("figure", "confusion"), ("compare",), ("show", "--as-config")])
def test_commands_for_one_run_refuse_it_in_one_line(pair: tuple[Path, Path], args: tuple[str, ...]) -> None:
    edit(pair[0], EDITED["average"][0])
    done = tiny.command(*args, *(pair if args == ("compare",) else pair[:1]))
    assert done.code == 2
    assert f"{pair[0] / 'record.json'} contradicts its evidence: pgd20: average is 0.99" in done.err
    assert done.err.count("\n") == 1


def test_a_folder_that_somebody_named_and_one_without_predictions_are_believed(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    shutil.copytree(pair[0], tmp_path / "mine" / "my best run")
    (tmp_path / "mine" / "my best run" / "predictions.npz").unlink()
    assert tiny.command("table", tmp_path / "mine").code == 0


def test_a_record_older_than_a_number_is_believed_without_it(pair: tuple[Path, Path]) -> None:
    edit(pair[0], lambda record: attack(record).pop("target_entropy"))
    assert load_record(pair[0]).evaluation.attacks["pgd20"].target_entropy is None
    assert believed(find_runs([pair[0]])).skipped == []


def intervals_astray(correct: np.ndarray, size: int, intervals: dict[str, Any]) -> list[str]:
    """What is said of the intervals of an attack under which so many of the images of each class are right."""
    confusion = np.diag(correct) + np.roll(np.diag(size - correct), 1, axis=1)
    found = SimpleNamespace(confusion=confusion.tolist(), intervals=intervals)
    return [*_intervals_astray(SimpleNamespace(evaluation=SimpleNamespace(attacks={"fgsm": found})), ["fgsm"])]  # type: ignore[arg-type]


def test_intervals_that_the_bootstrap_gives_are_believed_whatever_the_law_of_the_metric() -> None:
    """NSD of few images, with classes of which none is right, takes few values and has a long tail."""
    rng = np.random.default_rng(3)
    for seed in range(300):
        correct = np.array([rng.integers(1, 9), rng.integers(0, 9), *rng.integers(0, 2, 3)])
        given = bootstrap_intervals(correct, np.full(5, 40), seed=seed)
        assert intervals_astray(correct, 40, given) == []


def test_an_interval_of_such_a_metric_that_no_bootstrap_gives_is_not() -> None:
    correct = np.array([6, 7, 0, 0, 0])
    given = bootstrap_intervals(correct, np.full(5, 40))
    assert given["nsd"] is not None
    low, high = given["nsd"]
    for wrong in ((low, high + (high - low)), (low - (high - low), high), (low, low), (0.0, 4.0)):
        assert intervals_astray(correct, 40, {**given, "nsd": wrong}), wrong
