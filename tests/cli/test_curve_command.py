"""`dfrd-bench figure curve`: from a finished run to numbers, a picture, and a warning where gradients are hidden."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import tiny

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.curve import Curve, Point
from dfrd_bench.evaluation.swept import swept
from dfrd_bench.records.store import load_record
from dfrd_bench.reporting.figures.curve import curve_figure

pytestmark = pytest.mark.usefixtures("few_digits")
HIDDEN = Curve(
    "pgd20", 0.2, (Point(0, 0.9, 0.8), Point(0.05, 0.8, 0.7), Point(0.2, 0.7, 0.5), Point(1.0, 0.25, 0.0)), ("odd",)
)


def test_at_the_runs_own_eps_it_finds_what_the_record_says_and_leaves_the_record_alone(run: Path) -> None:
    before = (run / "record.json").read_bytes()
    done = tiny.command("figure", "curve", run, "--quiet")
    assert done.code == 0
    rows = dict(re.findall(r"^ *(\S+) +(\S+) +\S+(?: +the run's own)? *$", done.out, re.MULTILINE))
    recorded = load_record(run).evaluation.attacks
    assert rows["0.2"] == f"{100 * recorded['pgd20'].average:.2f}"
    assert rows["0"] == f"{100 * recorded['clean'].average:.2f}"
    assert (run / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert done.out.endswith(f"{run / 'curve.png'}\n")
    assert (run / "record.json").read_bytes() == before
    (kept,) = swept(run, load_record(run)).sweeps
    assert [f"{100 * point.average:.2f}" for point in kept.points] == list(rows.values())
    assert "curve-pgd20.json" in tiny.command("show", run).out


def test_a_picture_of_a_run_that_cannot_be_written_to_is_drawn_all_the_same(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> Path:
        raise DfrdBenchError("Cannot write here.")

    monkeypatch.setattr("dfrd_bench.runs.sweep.keep_sweep", refused)
    monkeypatch.setattr("dfrd_bench.runs.sweep.sweep_run", lambda *_, **__: HIDDEN)
    done = tiny.command("figure", "curve", run, "--output", tmp_path / "c.png", "--quiet")
    assert done.code == 0
    assert "Warning: the numbers are not kept for `report`. Cannot write here.\n" in done.err
    assert (tmp_path / "c.png").exists()


def test_progress_names_attack_and_eps(run: Path, tmp_path: Path) -> None:
    done = tiny.command("figure", "curve", run, "--attack", "fgsm", "--output", tmp_path / "c.svg")
    assert done.code == 0
    assert "fgsm ε = 0.05 60/60" in done.err
    assert (tmp_path / "c.svg").read_bytes().startswith(b"<?xml")
    assert not (run / "curve.png").exists()


def test_a_curve_that_does_not_reach_zero_is_warned_of(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dfrd_bench.runs.sweep.sweep_run", lambda *_, **__: HIDDEN)
    done = tiny.command("figure", "curve", run, "--output", tmp_path / "c.png")
    assert done.code == 0
    assert "Warning: odd\n" in done.err
    assert "Warning: under PGD-20 the accuracy does not fall to 0: 25.00 % are right even at ε = 1" in done.err
    assert [line.split()[:3] for line in done.out.splitlines() if "the run's own" in line] == [
        ["0.2", "70.00", "50.00"]
    ]


def test_the_picture_holds_the_points_and_says_what_is_what(run: Path) -> None:
    (axis,) = curve_figure(load_record(run), HIDDEN).axes
    drawn = {line.get_label(): [list(line.get_xdata()), list(line.get_ydata())] for line in axis.lines}
    assert drawn["average"] == [[0, 0.05, 0.2, 1.0], pytest.approx([90, 80, 70, 25])]
    assert drawn["worst class"] == [[0, 0.05, 0.2, 1.0], pytest.approx([80, 70, 50, 0])]
    assert drawn["the run's ε = 0.2"][0] == [0.2, 0.2]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("ε, radius of the L∞ ball", "accuracy under PGD-20 (%)")
    assert [label.get_text() for label in axis.get_xticklabels()] == ["0", "0.05", "0.2", "1"]
    first, second = (line for line in axis.lines if line.get_label() in ("average", "worst class"))
    assert first.get_marker() != second.get_marker()  # so that they are told apart in grey
    assert first.get_linestyle() != second.get_linestyle()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--attack", "pgd-20"], "Did you mean 'pgd20'"),
        (["--attack", "clean"], "clean does not keep within a given ε"),
        (["--dataset", "cifar10"], "The record is of digits, not of cifar10"),
    ],
)
def test_what_has_no_curve_is_refused_in_one_line(run: Path, options: list[str], message: str) -> None:
    done = tiny.command("figure", "curve", run, "--quiet", *options)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert message in done.err
    assert not (run / "curve.png").exists()


def test_other_test_images_are_refused(run: Path) -> None:
    content = json.loads((run / "record.json").read_text())
    content["dataset"]["test_digest"] = 64 * "0"
    (run / "record.json").write_text(json.dumps(content))
    assert "are not those of the record" in tiny.command("figure", "curve", run, "--quiet").err
