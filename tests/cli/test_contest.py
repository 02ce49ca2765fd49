"""Somebody else's attacks on a run's weights: kept beside its record, and counted image by image."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import load_file

from dfrd_bench import load_results
from dfrd_bench.datasets.digits import Digits
from dfrd_bench.evaluation.best_known import best_known
from dfrd_bench.evaluation.summary import attack_record, evaluation_record
from dfrd_bench.images import LabelledImages
from dfrd_bench.records.arrays import read_arrays, write_arrays
from dfrd_bench.records.contests import ContestRecord, save_contest
from dfrd_bench.records.schema import Predictions
from dfrd_bench.records.store import load_predictions, load_record
from dfrd_bench.runs.merging import merge
from dfrd_bench.runs.reevaluation import evaluate_run
from dfrd_bench.runs.verification import verify_run

pytestmark = pytest.mark.usefixtures("few_digits")


def contest_by_hand(run: Path, by: str, broken: set[int]) -> Path:
    """A contest under which exactly these images are misclassified."""
    record, labels = load_record(run), load_predictions(run).labels
    predicted = np.array([(label + 1) % 10 if n in broken else label for n, label in enumerate(labels)])
    attacks = {"pgd20x5": attack_record(labels, predicted, 10, {"norm": "Linf", "eps": 0.2}, 1.0)}
    return save_contest(
        run,
        ContestRecord(
            created="2026-01-01T00:00:00+00:00",
            by=by,
            weights_sha256=record.weights_sha256,
            test_digest=record.dataset.test_digest,
            threat=record.spec.threat,
            evaluation=evaluation_record(labels, {"pgd20x5": predicted}, attacks, 1),
            providers={"pgd20x5": "dfrd-bench 0"},
            environment=record.environment,
        ),
        Predictions(labels, {"pgd20x5": predicted}),
    )


def own_broken(run: Path) -> set[int]:
    found = load_predictions(run)
    return {n for name in found.attacks for n in np.flatnonzero(found.attacks[name] != found.labels).tolist()}


@pytest.fixture
def standing(run: Path) -> list[int]:
    """The images that the run's own attacks left, some of which can be broken."""
    left = sorted(set(range(tiny.FEW)) - own_broken(run))
    assert len(left) >= 4
    return left


def test_best_known_is_what_the_union_of_everybodys_broken_images_leaves(run: Path, standing: list[int]) -> None:
    already = min(own_broken(run))
    first, second = {standing[0], standing[1], already}, {standing[1], standing[2]}
    contest_by_hand(run, "a", first)
    contest_by_hand(run, "b", second)
    known = best_known(run, load_record(run))
    assert known.accuracy == pytest.approx(1 - len(own_broken(run) | first | second) / tiny.FEW)
    assert known.own == load_record(run).evaluation.worst_case == pytest.approx(len(standing) / tiny.FEW)
    assert [(one.record.by, one.broken) for one in known.contests] == [("a", 2), ("b", 2)]
    assert [one.accuracy for one in known.contests] == [
        pytest.approx(1 - 3 / tiny.FEW),
        pytest.approx(1 - 2 / tiny.FEW),
    ]
    assert known.lowered


def test_without_contests_it_is_the_worst_case_and_nothing_is_marked(run: Path) -> None:
    record = load_record(run)
    known = best_known(run, record)
    assert (known.accuracy, known.contests, known.lowered) == (record.evaluation.worst_case, (), False)
    assert "best_known" not in set(load_results(run).metric)
    assert "§" not in tiny.command("table", run).out


def test_show_table_and_frame_say_what_others_found(run: Path, standing: list[int]) -> None:
    contest_by_hand(run, "A. Nother", set(standing[:3]))
    share, own = (len(standing) - 3) / tiny.FEW, len(standing) / tiny.FEW
    shown = tiny.command("show", run).out
    assert "contested by A. Nother" in shown
    assert f"{100 * share:.2f} % of the images survive every attack" in " ".join(shown.split())
    (value,) = load_results(run).query("metric == 'best_known'").value
    assert value == pytest.approx(share)
    text = " ".join(tiny.command("table", run).out.split())
    assert "§ Contested" in text
    assert f"{100 * share:.2f} (of the run alone {100 * own:.2f})" in text
    table = tiny.command("table", run, "--format", "csv").out.splitlines()
    assert float(dict(zip(table[0].split(","), table[1].split(","), strict=True))["best_known"]) == pytest.approx(share)
    assert r"\S{}" in tiny.command("table", run, "--format", "latex").out
    assert "§" in tiny.command("table", run, "--format", "html").out
    brief = tiny.command("table", run, "--brief").out
    assert brief.count("§") == 2  # the row, and the line that says what it means
    assert f"{100 * share:.2f} (of the run alone" in brief
    assert verify_run(run) == []


def test_a_contest_is_made_of_the_same_weights_however_they_were_saved(run: Path, tmp_path: Path) -> None:
    before = (run / "record.json").read_bytes()
    torch.save({"state_dict": load_file(run / "student.safetensors")}, tmp_path / "weights.pt")
    call = ("evaluate", tmp_path / "weights.pt", "--contest", run, "--by", "A. Nother", "--attacks", "fgsm", "--quiet")
    done = tiny.command(*call)
    assert done.code == 0, done.err
    (folder,) = (run / "contests").iterdir()
    found = json.loads((folder / "contest.json").read_text())
    assert found["by"] == "A. Nother"
    assert found["evaluation"]["attacks"]["fgsm"]["parameters"]["eps"] == 0.2
    assert found["providers"]["fgsm"].startswith("dfrd-bench ")
    assert (run / "record.json").read_bytes() == before
    evaluate_run(run, attacks=["fgsm"])  # the same attack, by the run's owner
    assert (load_predictions(folder).attacks["fgsm"] == load_predictions(run).attacks["fgsm"]).all()
    again = tiny.command(*call)
    assert again.out.startswith("Contested so before: ")
    assert len(list((run / "contests").iterdir())) == 1


def test_other_weights_are_refused(run: Path, tmp_path: Path) -> None:
    weights = load_file(run / "student.safetensors")
    weights["fc.bias"] = weights["fc.bias"] + 1e-6
    torch.save(weights, tmp_path / "other.pt")
    done = tiny.command("evaluate", tmp_path / "other.pt", "--contest", run, "--by", "x", "--attacks", "fgsm")
    assert done.code == 2
    assert "is not the network of this run" in done.err
    assert not (run / "contests").exists()


def test_other_images_are_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = Digits.load

    def darker(self: Digits, split: object) -> LabelledImages:
        images = load(self, split)  # type: ignore[arg-type]
        return LabelledImages(images.images // 2, images.labels)

    monkeypatch.setattr(Digits, "load", darker)
    call = ("evaluate", run / "student.safetensors", "--contest", run, "--by", "x", "--attacks", "fgsm", "--quiet")
    done = tiny.command(*call)
    assert done.code == 2
    assert "are not those of the record" in done.err
    assert not (run / "contests").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--contest", "{run}", "--by", "x", "--attacks", "cw_l2"], "cw_l2 perturbs in L2"),
        (["--contest", "{run}"], "Say who you are: --by NAME."),
        (["--contest", "{run}", "--by", " "], "--by says who you are"),
        (["--contest", "{run}", "--by", "x", "--arch", "wrn-10-1"], "leave --test-images and --arch out"),
        (["--contest", "{run}/nowhere", "--by", "x"], "No record in"),
        (["--arch", "wrn-10-1", "--by", "x"], "--by and --seed are for --contest RUN"),
        (["--arch", "wrn-10-1", "--seed", "2"], "--by and --seed are for --contest RUN"),
    ],
)
def test_wrong_use_gets_one_line(run: Path, options: list[str], said: str) -> None:
    done = tiny.command("evaluate", run / "student.safetensors", *(text.format(run=run) for text in options))
    assert done.code == 2
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert not (run / "contests").exists()


def test_a_contest_whose_predictions_were_changed_does_not_count(run: Path, standing: list[int]) -> None:
    folder = contest_by_hand(run, "a", set(standing[:2]))
    arrays = read_arrays(folder / "predictions.npz", "labels")
    write_arrays(folder / "predictions.npz", {**arrays, "attack_pgd20x5": (arrays["labels"] + 1) % 10})
    known = best_known(run, load_record(run))
    assert (known.accuracy, known.contests) == (known.own, ())
    assert "does not belong to the record beside it" in known.doubted[0]
    assert verify_run(run) == list(known.doubted)
    assert "contest left out" in tiny.command("show", run).out
    assert "A contest is left out" in " ".join(tiny.command("table", run).out.split())


def test_a_contest_put_below_another_run_does_not_count(run: Path, standing: list[int]) -> None:
    folder = contest_by_hand(run, "a", set(standing[:2]))
    contest = json.loads((folder / "contest.json").read_text())
    (folder / "contest.json").write_text(json.dumps({**contest, "weights_sha256": "f" * 64}))
    known = best_known(run, load_record(run))
    assert known.contests == ()
    assert "It is of other weights" in known.doubted[0]
    (folder / "contest.json").write_text("{}")
    assert "is not a valid contest" in best_known(run, load_record(run)).doubted[0]


def test_merging_brings_a_contest_to_the_record_that_is_there(run: Path, standing: list[int], tmp_path: Path) -> None:
    (first,) = merge([run], tmp_path / "into")
    assert first.place is not None
    assert not (first.place / "contests").exists()
    copy = Path(shutil.copytree(run, tmp_path / "theirs"))
    made = contest_by_hand(copy, "a", set(standing[:2]))
    (run / "contests" / "evaluation").mkdir(parents=True)  # a stopped one, of which nothing is taken
    (second,) = merge([copy], tmp_path / "into")
    assert (second.verdict, second.place) == ("taken", first.place)
    assert tiny.files_below(first.place / "contests") == [
        f"{made.name}/contest.json",
        f"{made.name}/predictions.npz",
    ]
    assert [one.verdict for one in merge([copy], tmp_path / "into")] == ["there"]


def test_the_report_says_who_contested_a_run_and_what_everybody_leaves(
    run: Path, standing: list[int], tmp_path: Path
) -> None:
    for needed in ("altair", "itables", "vl_convert"):
        pytest.importorskip(needed, reason="needs the extra [report]")
    contest_by_hand(run, "A. <b>Nother</b>", {standing[0]})
    site = tmp_path / "site"
    done = tiny.command("report", run, "-o", site, "--quiet")
    assert done.code == 0, done.err
    (entry,) = (one for one in json.loads((site / "index.json").read_text())["runs"] if one["kind"] == "student")
    own = load_record(run).evaluation.worst_case
    assert entry["worst_case"] == pytest.approx(own)
    assert entry["best_known"] == pytest.approx(own - 1 / tiny.FEW)
    page = (site / entry["page"]).read_text(encoding="utf-8")
    assert "contested by A. &lt;b&gt;Nother&lt;/b&gt;" in page
    assert f"{100 * (own - 1 / tiny.FEW):.2f} %" in page
    assert "contested §" in (site / "runs.html").read_text(encoding="utf-8")
