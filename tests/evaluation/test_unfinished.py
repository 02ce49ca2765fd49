"""A stopped evaluation goes on from what it kept, and from nothing that belongs to something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.evaluate import check_images, evaluate_model
from dfrd_bench.evaluation.unfinished import Unfinished, key_of
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import ThreatModel
from dfrd_bench.registry import ATTACKS

THREAT = ThreatModel(eps=0.03, step=0.0075)


@pytest.fixture
def images(batch: tuple[Tensor, Tensor]) -> LabelledImages:
    return LabelledImages(batch[0][:40], batch[1][:40])


def evaluate(net: nn.Module, images: LabelledImages, **more: Any) -> Any:
    settings: dict[str, Any] = {"attacks": ["fgsm", "pgd20"], "num_classes": 10, "seed": 0, **more}
    return evaluate_model(net, images, threat=THREAT, device=tiny.CPU, **settings)


class StopError(Exception):
    """What a user's Ctrl-C is."""


def stop_at(name: str) -> Any:
    def on_batch(attack: str, *_: Any) -> None:
        if attack == name:
            raise StopError

    return on_batch


@pytest.mark.parametrize("change", ["nothing", "seed", "weights", "images", "damage"])
def test_what_was_finished_is_not_run_again_unless_something_changed(
    net: nn.Module, images: LabelledImages, tmp_path: Path, change: str
) -> None:
    with pytest.raises(StopError):
        evaluate(net, images, unfinished=tmp_path, on_batch=stop_at("pgd20"))
    if change == "weights":
        net = tiny.wide_resnet(1, 10)
    if change == "images":
        images = LabelledImages(images.images.flip(3), images.labels)
    if change == "damage":
        (tmp_path / "fgsm.npz").write_bytes(b"not an archive")
    seen: list[str] = []
    more = {"seed": 1} if change == "seed" else {}
    record, predictions, _ = evaluate(net, images, unfinished=tmp_path, on_batch=lambda a, *_: seen.append(a), **more)
    assert ("fgsm" in seen) is (change != "nothing")
    fresh, same, _ = evaluate(net, images, **more)
    assert {name: a.confusion for name, a in record.attacks.items()} == {
        name: a.confusion for name, a in fresh.attacks.items()
    }
    assert all(np.array_equal(predictions.attacks[name], same.attacks[name]) for name in same.attacks)


def test_settings_of_the_attack_are_part_of_the_key(tmp_path: Path) -> None:
    kept = Unfinished(tmp_path, key_of(nn.Linear(2, 2), "images", 0))
    kept.save("pgd20", {"eps": 0.1}, {"a": np.arange(3)})
    assert kept.load("pgd20", {"eps": 0.2}) is None
    assert kept.load("fgsm", {"eps": 0.1}) is None
    loaded = kept.load("pgd20", {"eps": 0.1})
    assert loaded is not None
    assert loaded["a"].tolist() == [0, 1, 2]


class InStages:
    """An attack of two stages, the second of which breaks every fourth image; it is asked once."""

    def __init__(self) -> None:
        self.asked = 0

    def parameters(self, threat: ThreatModel) -> dict[str, Any]:
        return {}

    def predict(self, model: nn.Module, images: LabelledImages, *, on_stage: Any, **_: Any) -> Tensor:
        self.asked += 1
        on_stage("zealous", 1.0)
        on_stage("able", 0.75)
        broken = torch.arange(len(images)) % 4 == 0
        return torch.where(broken, (images.labels + 1) % 10, images.labels)


def test_the_stages_of_an_attack_are_recorded_in_order_and_outlive_a_stop(
    net: nn.Module, images: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack, get = InStages(), ATTACKS.get
    monkeypatch.setattr(ATTACKS, "get", lambda name: attack if name == "staged" else get(name))
    with pytest.raises(StopError):
        evaluate(net, images, attacks=["staged", "fgsm"], unfinished=tmp_path, on_batch=stop_at("fgsm"))
    record, _, _ = evaluate(net, images, attacks=["staged", "fgsm"], unfinished=tmp_path)
    assert attack.asked == 1
    assert [*(record.attacks["staged"].stages or {}).items()] == [("zealous", 1.0), ("able", 0.75)]
    assert record.attacks["staged"].average == 0.75
    assert record.attacks["fgsm"].stages is None


class NotANumber(nn.Module):
    """Gives NaN for every image whose first pixel is above one half."""

    def forward(self, x: Tensor) -> Tensor:
        logits = torch.zeros(len(x), 10)
        logits[x[:, 0, 0, 0] > 0.5, 3] = float("nan")
        return logits


def test_logits_that_are_no_numbers_are_counted_said_and_never_right() -> None:
    x = torch.zeros(6, 1, 8, 8)
    x[:2] = 1
    record, predictions, notes = evaluate(
        NotANumber().eval(), LabelledImages(x, torch.tensor([0, 3, 0, 0, 0, 0])), attacks=["clean"]
    )
    assert record.attacks["clean"].average == pytest.approx(4 / 6)
    assert (predictions.attacks["clean"][:2] != [0, 3]).all()
    assert "clean: NaN or infinite logits for 2 images, counted as misclassified" in notes


@pytest.mark.parametrize(
    ("pixels", "labels", "complaint"),
    [
        (torch.full((2, 1, 8, 8), 1.5), [0, 1], "0, 1"),
        (torch.full((2, 1, 8, 8), float("nan")), [0, 1], "0, 1"),
        (torch.zeros(2, 1, 8, 8), [0, 10], "Labels must lie in 0 … 9"),
        (torch.zeros(2, 1, 8, 8), [-1, 0], "Labels must lie in 0 … 9"),
        (torch.zeros(0, 1, 8, 8), [], "no test images"),
    ],
)
def test_images_that_cannot_be_evaluated_on_are_refused(pixels: Tensor, labels: list[int], complaint: str) -> None:
    with pytest.raises(DfrdBenchError, match=complaint):
        check_images(LabelledImages(pixels, torch.tensor(labels, dtype=torch.int64)), 10)


def test_classes_without_an_image_are_named() -> None:
    assert check_images(LabelledImages(torch.zeros(3, 1, 8, 8), torch.tensor([0, 1, 2])), 3) == []
    (note,) = check_images(LabelledImages(torch.zeros(2, 1, 8, 8), torch.tensor([0, 2])), 3)
    assert note.startswith("2 test images for 3 classes; 1 classes have no test image")
    assert note.endswith(": 1")
