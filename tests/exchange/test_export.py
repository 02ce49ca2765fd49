"""An exported student is the run's, to the byte, and its programs answer and can be attacked as it does, without dfrd-bench."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from torch.nn import functional as F

from dfrd_bench import DfrdBenchError, load_student
from dfrd_bench.datasets.digits import Digits
from dfrd_bench.evaluation.best_known import best_known
from dfrd_bench.exchange.card import model_card
from dfrd_bench.exchange.export import export
from dfrd_bench.exchange.programs import lacking_for_onnx, write_onnx
from dfrd_bench.records.store import load_predictions, load_record

RUN = Path(__file__).parents[2] / "results/digits/digits-wrn-10-2/wrn-10-1/ferd/default-seed1-96fe9e44"
ELSEWHERE = """
import json, sys
import numpy as np, torch
sys.modules["dfrd_bench"] = None  # an import of it fails
images = torch.from_numpy(np.load(sys.argv[1]))
found = {"torch": torch.export.load("student.pt2").module()(images).argmax(dim=1).tolist()}
try:
    import onnxruntime
    session = onnxruntime.InferenceSession("student.onnx", providers=["CPUExecutionProvider"])
    found["onnx"] = session.run(["logits"], {"images": images.numpy()})[0].argmax(axis=1).tolist()
except ImportError:
    pass
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(RUN, tmp_path_factory.mktemp("exported") / "student").folder


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """The 900 test images [N, 1, 8, 8] as floats."""
    (batch,) = [x for _, x, _ in Digits().load("test").batches(900, tiny.CPU)]
    return batch


def test_weights_and_evidence_are_the_runs_to_the_byte(exported: Path) -> None:
    for name in ("student.safetensors", "record.json", "predictions.npz"):
        assert (exported / name).read_bytes() == (RUN / name).read_bytes()
    assert tiny.command("verify", exported).code == 0


def test_an_exported_folder_loads_in_one_line(exported: Path, images: torch.Tensor) -> None:
    model = load_student(exported)
    assert not model.training
    with torch.no_grad():
        assert torch.equal(model(images), load_student(RUN)(images))
        assert (model(images).argmax(dim=1).numpy() == load_predictions(RUN).attacks["clean"]).all()


def test_programs_give_the_recorded_classes_where_there_is_no_dfrd_bench(
    exported: Path, images: torch.Tensor, tmp_path: Path
) -> None:
    np.save(tmp_path / "images.npy", images.numpy())
    command = [sys.executable, "-c", ELSEWHERE, str(tmp_path / "images.npy")]
    done = subprocess.run(command, cwd=exported, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert ("onnx" in found) == (not lacking_for_onnx())
    recorded = load_predictions(RUN).attacks["clean"].tolist()
    assert all(classes == recorded for classes in found.values())


def test_fgsm_by_hand_on_the_program_breaks_the_images_that_the_record_says(
    exported: Path, images: torch.Tensor
) -> None:
    """Gradients come through: a stranger can attack it."""
    model, labels = torch.export.load(exported / "student.pt2").module(), torch.from_numpy(load_predictions(RUN).labels)
    x = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(x), labels, reduction="sum"), x)
    found = model((images + 0.2 * gradient.sign()).clamp(0, 1)).argmax(dim=1).numpy()
    assert (found == load_predictions(RUN).attacks["fgsm"]).mean() > 0.998  # rounding may flip single images


def test_a_program_of_another_network_is_refused(exported: Path, tmp_path: Path) -> None:
    if missing := lacking_for_onnx():
        pytest.skip(missing)
    program, other = torch.export.load(exported / "student.pt2"), load_student(RUN)
    with torch.no_grad():
        other.fc.bias[0] += 2e-3
    with pytest.raises(
        DfrdBenchError, match=r"x\.onnx does not compute what the network does: logits differ by up to 0\.002"
    ):
        write_onnx(tmp_path / "x.onnx", program, other, (1, 8, 8))


def test_the_card_says_how_robust_every_class_is(exported: Path) -> None:
    card = (exported / "README.md").read_text(encoding="utf-8")
    found = load_predictions(RUN)
    for k in range(10):
        mine = found.labels == k
        shares = [
            f"{100 * np.mean(found.attacks[name][mine] == k):.2f}" for name in load_record(RUN).evaluation.attacks
        ]
        assert re.search(rf"^\| {k} +\| " + " +\\| ".join(map(re.escape, shares)) + r" +\|$", card, re.MULTILINE)
    assert "AutoAttack" in card
    assert "synthesis failed for 6 of 10 classes" in card  # the record's own warning
    for path in exported.iterdir():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert path.name == "README.md" or re.search(rf"`{re.escape(path.name)}` .*`{digest}`", card)


def test_names_from_a_record_are_no_markup_in_the_card() -> None:
    record = load_record(RUN)
    nasty = "a|b`</td><script>\n# x"
    spec = record.spec.model_copy(update={"dataset": nasty, "student": nasty, "config": {"x": "```\n# loose"}})
    info = record.dataset.info.model_copy(update={"class_names": (nasty, *map(str, range(1, 10)))})
    hostile = record.model_copy(
        update={"spec": spec, "dataset": record.dataset.model_copy(update={"info": info}), "warnings": (nasty,)}
    )
    card = model_card(hostile, best_known(RUN, record), {})
    in_code = "`a|b'</td><script> # x`"
    assert in_code in card
    assert "<script>" not in card.replace(r"\<script\>", "").replace(in_code, "")
    assert not re.search(r"^# x|^# loose", re.sub(r"````yaml.*?````", "", card, flags=re.DOTALL), re.MULTILINE)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--format", "onxx"], "Unknown format 'onxx'. Did you mean 'onnx'?"),
        (["--format", "robustbench"], "RobustBench has no leaderboard for digits (but for cifar10, cifar100)."),
        (["--output", "{full}"], "{full} is there already: name a new folder."),
    ],
)
def test_wrong_use_gets_one_line_and_leaves_nothing(options: list[str], said: str, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").touch()
    given = [text.format(full=full) for text in options]
    place = [] if "--output" in given else ["-o", str(tmp_path / "new")]
    done = tiny.command("export", RUN, *place, *given)
    assert (done.code, done.err) == (2, f"Error: {said.format(full=full)}\n")
    assert tiny.files_below(tmp_path) == ["full/mine.txt"]


def test_without_the_packages_onnx_is_refused_or_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dfrd_bench.exchange.programs.find_spec", lambda name: None)
    done = tiny.command("export", RUN, "-o", tmp_path / "new", "--format", "onnx")
    assert done.code == 2
    assert done.err == "Error: ONNX needs onnx, onnxscript, onnxruntime: pip install 'dfrd-bench[onnx]'.\n"
    done = tiny.command("export", RUN, "-o", tmp_path / "new", "--format", "safetensors", "--quiet")
    assert done.code == 0
    assert "student.onnx" not in (tmp_path / "new" / "README.md").read_text()


def test_weights_that_are_not_the_records_are_not_exported(tmp_path: Path) -> None:
    copy = tmp_path / "run"
    copy.mkdir()
    for path in RUN.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    data = bytearray((copy / "student.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "student.safetensors").write_bytes(bytes(data))
    done = tiny.command("export", copy, "-o", tmp_path / "new")
    assert done.code == 2
    assert "their sha256 differ" in done.err
    with pytest.raises(DfrdBenchError, match="their sha256 differ"):
        load_student(copy)
    assert not (tmp_path / "new").exists()


def test_a_teachers_record_is_refused(tmp_path: Path) -> None:
    (teacher,) = (RUN.parents[2] / "wrn-10-2" / "teacher").iterdir()
    done = tiny.command("export", teacher, "-o", tmp_path / "new", "--format", "safetensors")
    assert done.code == 2
    assert "is the record of a teacher" in done.err
    assert not (tmp_path / "new").exists()


def test_a_folder_without_a_record_has_no_student(tmp_path: Path) -> None:
    with pytest.raises(DfrdBenchError, match=r"No record in .*nowhere: record\.json is missing"):
        load_student(tmp_path / "nowhere")


def test_naming_load_student_imports_no_pytorch() -> None:
    script = "import sys, dfrd_bench; assert 'load_student' in dfrd_bench.__all__; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0
