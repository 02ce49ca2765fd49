"""`dfrd-bench figure KIND`: what it lists, draws, says and refuses."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from dfrd_bench.cli.figure import KINDS
from dfrd_bench.datasets.digits import Digits
from dfrd_bench.records.store import load_record
from dfrd_bench.runs.inspection import its_teacher
from dfrd_bench.runs.looking import Where, features_of, landscapes, synthetic_confusion, telling_image
from dfrd_bench.runs.subject import recorded_network

ROOT = Path(__file__).parents[2]
GALLERY = ROOT / "docs" / "figures.md"


def test_help_lists_every_kind_with_a_line() -> None:
    text = tiny.command("figure", "--help").out
    for name, (_, line) in KINDS.items():
        assert re.search(rf"^  {name} +{re.escape(line[:20])}", text, re.MULTILINE), name


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_has_a_help_with_an_example_and_a_place_in_the_gallery(name: str) -> None:
    text = tiny.command("figure", name, "--help").out
    assert f"dfrd-bench figure {name}" in text
    assert "-o, --output FILE" in text
    assert f"dfrd-bench figure {name} " in GALLERY.read_text(encoding="utf-8")


def test_a_wrong_kind_gets_the_nearest() -> None:
    outcome = tiny.command("figure", "plain", "results")
    assert (outcome.code, outcome.err) == (2, "Error: Unknown kind of figure 'plain'. Did you mean 'plane'?\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["plane", "RESULTS", "--method", "fred"], "Unknown method in these records 'fred'"),
        (["plane", "RESULTS", "--student", "wrn-10-9"], "Unknown student in these records 'wrn-10-9'"),
        (["plane", "RESULTS", "--attack", "clean,pgd20"], "This figure shows one attack, not 2."),
        (
            ["classes", "RESULTS", "--attacks", "autoattack"],
            "`dfrd-bench evaluate RUN --attacks autoattack` adds it",
        ),
        (["classes", "nowhere"], "The results folder nowhere does not exist."),
        (["plane", "RESULTS", "--track", "with-data"], "No run here is with-data"),
        (["capacity", "RESULTS"], "All students here are wrn-10-1"),
        (["beta", "RESULTS"], "Unknown hyper-parameter of these runs 'beta'"),
        (["hyperparameter", "RESULTS", "--x", "lr"], "No two runs here differ in lr alone"),
        (["weights", "RESULTS"], "No run here has class weights in its history"),
        (["epochs", "RESULTS"], "was not probed"),
        (["landscape", "RUN", "--image", "60"], "There is no test image 60: they are numbered 0 … 59."),
        (["landscape", "RUN", "RUN", "RUN", "RUN"], "At most 3 runs have room side by side"),
        (["synthetic-confusion", "RUN", "--attack", "cw"], "Unknown attack in this record 'cw'"),
        (["features", "nowhere"], "No record in nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.usefixtures("few_digits")
def test_what_cannot_be_drawn_is_one_line_and_no_file(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"RESULTS": str(made), "RUN": str(next(made.rglob("record.json")).parent)}
    outcome = tiny.command("figure", *(places.get(word, word) for word in arguments), "-o", "f.png")
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1].startswith("Error: ")
    assert said in outcome.err
    assert tiny.files_below(tmp_path) == []


def test_it_goes_where_it_is_told_or_is_called_by_its_kind(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert tiny.command("figure", "classes", made).out == "classes.png\n"
    assert tiny.command("figure", "samples", made, "-o", "s.svg", "--columns", "2").out == "s.svg\n"
    assert Path("classes.png").read_bytes().startswith(b"\x89PNG")
    assert Path("s.svg").read_bytes().startswith(b"<?xml")


def test_a_record_that_is_not_believed_is_named_and_left_out(run: Path, tmp_path: Path) -> None:
    other = run.parent / "other"
    other.mkdir()
    (other / "record.json").write_text("{}")
    outcome = tiny.command("figure", "classes", tmp_path, "-o", tmp_path / "f.png")
    assert outcome.code == 1
    assert "Skipped: " in outcome.err


@pytest.mark.usefixtures("few_digits")
class TestAskedAgain:
    def test_the_middle_of_a_landscape_is_the_image(self, run: Path) -> None:
        record = load_record(run)
        (found,) = landscapes([(run, record)], 7, Where(device="cpu"))
        images = Digits().load("test")
        with torch.no_grad():
            logits = recorded_network(run, record, record.dataset.info).eval()(images.floats(slice(7, 8)))
        expected = -float(logits.log_softmax(dim=1)[0, images.labels[7]])
        assert found.loss[20, 20] == pytest.approx(expected, rel=1e-4)

    def test_the_telling_image_is_the_first_that_is_right(self, run: Path) -> None:
        record = load_record(run)
        images = Digits().load("test")
        with torch.no_grad():
            classes = recorded_network(run, record, record.dataset.info).eval()(images.floats()).argmax(dim=1)
        first = int((classes == images.labels).nonzero()[0])
        assert telling_image(run, record) == first

    def test_synthetic_images_are_counted_by_the_class_that_the_teacher_gives_them(self, run: Path) -> None:
        record = load_record(run)
        found = synthetic_confusion(run, record, "clean", Where(device="cpu"))
        with np.load(run / "samples.npz") as kept:
            classes, x = kept["classes"], torch.from_numpy(kept["images"]).float() / 255
        with torch.no_grad():
            predicted = recorded_network(run, record, record.dataset.info).eval()(x).argmax(dim=1).numpy()
        expected = np.zeros((10, 10), int)
        for true, taken in zip(classes, predicted, strict=True):
            expected[true, taken] += 1
        assert found["synthetic, Clean"].tolist() == expected.tolist()
        assert found["synthetic, UTAE"].sum(axis=1).tolist() == expected.sum(axis=1).tolist()

    def test_features_are_what_the_last_layer_makes_its_logits_of(self, run: Path) -> None:
        record = load_record(run)
        found = features_of(run, record, Where(device="cpu"))
        teacher = its_teacher(record, device="cpu")
        last = [layer for layer in teacher.modules() if isinstance(layer, torch.nn.Linear)][-1]
        with torch.no_grad():
            logits = teacher(Digits().load("test").floats())
            again = last(torch.from_numpy(found.real).float())
        assert torch.allclose(again, logits, atol=1e-4)
        assert (found.real.shape[0], found.synthetic.shape[0]) == (60, len(found.classes))

    @pytest.mark.parametrize("kind", ["landscape", "features", "synthetic-confusion"])
    def test_they_are_drawn(self, run: Path, tmp_path: Path, kind: str) -> None:
        done = tiny.command("figure", kind, run, "--quiet", "-o", tmp_path / "f.png")
        assert (done.code, done.out) == (0, f"{tmp_path / 'f.png'}\n")
        assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
