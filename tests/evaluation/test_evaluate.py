"""Running attacks by name: what is kept, what is restored, and what every attack together leaves."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

from dfrd_bench.attacks.verdict import AttackWarning
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.evaluate import evaluate_model
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import ThreatModel
from dfrd_bench.records.arrays import read_arrays, write_arrays
from dfrd_bench.records.schema import EvaluationRecord, Predictions
from dfrd_bench.registry import ATTACKS

THREAT = ThreatModel(eps=0.03, step=0.0075)
Evaluation = tuple[EvaluationRecord, Predictions, list[str]]


@pytest.fixture
def images(batch: tuple[Tensor, Tensor]) -> LabelledImages:
    """200 images, 20 of them with a label the network does not give them."""
    x, y = batch
    return LabelledImages(x, torch.cat([(y[:20] + 1) % 10, y[20:]]))


def evaluate(net: nn.Module, images: LabelledImages, attacks: list[str], **more: Any) -> Evaluation:
    return evaluate_model(net, images, num_classes=10, threat=THREAT, attacks=attacks, device=tiny.CPU, **more)


def test_clean_accuracy_is_the_share_of_right_labels(net: nn.Module, images: LabelledImages) -> None:
    record, predictions, notes = evaluate(net, images, ["clean"])
    assert record.attacks["clean"].average == 0.9
    assert np.array_equal(predictions.labels, images.labels.numpy())
    assert all("no test image" in note for note in notes)  # the toy network never says 0, 3, 6 or 7


class Breaks:
    """An attack that works on every n-th image: it hands out an image of another class there."""

    def __init__(self, every: int, images: LabelledImages) -> None:
        self.every, self.images = every, images

    def parameters(self, threat: ThreatModel) -> dict[str, Any]:
        return {}

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, *, indices: Tensor, **_: Any) -> Tensor:
        others = torch.stack([self.images.images[20:][self.images.labels[20:] != label][0] for label in y])
        return torch.where((indices % self.every == 0)[:, None, None, None], others, x)


def test_worst_case_is_the_share_of_images_no_attack_breaks(
    net: nn.Module, images: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ATTACKS, "get", lambda name: Breaks(int(name), images))
    record, _, _ = evaluate(net, images, ["2", "3", "5"])
    right = range(20, 200)  # the first 20 are misclassified anyway
    for every in (2, 3, 5):
        assert record.attacks[str(every)].average == sum(1 for i in right if i % every) / 200
    assert record.worst_case == sum(1 for i in right if i % 2 and i % 3 and i % 5) / 200


def test_averages_follow_from_the_stored_predictions(net: nn.Module, images: LabelledImages) -> None:
    record, predictions, _ = evaluate(net, images, ["fgsm", "pgd20"])
    for name, attack in record.attacks.items():
        hits = [p == y for p, y in zip(predictions.attacks[name], predictions.labels, strict=True)]
        assert attack.average == sum(hits) / 200
        assert sum(map(sum, attack.confusion)) == 200


def test_known_attacks_are_kept_and_not_run_again(
    net: nn.Module, images: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, predictions, _ = evaluate(net, images, ["pgd20"])
    asked: list[str] = []
    get = ATTACKS.get

    def watched(name: str) -> Any:
        attack = get(name)

        def call(*args: Any, **kwargs: Any) -> Tensor:
            asked.append(name)
            return attack(*args, **kwargs)

        call.parameters = attack.parameters  # type: ignore[attr-defined]
        return call

    monkeypatch.setattr(ATTACKS, "get", watched)
    more, all_predictions, _ = evaluate(net, images, ["pgd20", "fgsm"], known=(record, predictions))
    assert set(asked) == {"fgsm"}
    assert list(more.attacks) == ["pgd20", "fgsm"]
    assert more.attacks["pgd20"] is record.attacks["pgd20"]
    assert more.worst_case == np.mean(
        (all_predictions.attacks["pgd20"] == images.labels.numpy())
        & (all_predictions.attacks["fgsm"] == images.labels.numpy())
    )
    assert list(predictions.attacks) == ["pgd20"]  # what was handed in stays as it was


@pytest.mark.parametrize("training", [True, False])
def test_attacks_in_eval_mode_and_puts_the_mode_back(training: bool) -> None:
    model = tiny.wide_resnet(1, 4).train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes: list[bool] = []
    model.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    labels = torch.zeros(5, dtype=torch.int64)
    evaluate_model(
        model,
        LabelledImages(tiny.random_images(5), labels),
        num_classes=4,
        threat=THREAT,
        attacks=["clean", "fgsm"],
        device=tiny.CPU,
    )
    assert modes
    assert not any(modes)
    assert model.training is training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_the_mode_is_put_back_after_a_failure(images: LabelledImages) -> None:
    model = nn.Linear(3, 3).train()  # does not take images
    with pytest.raises(RuntimeError):
        evaluate(model, images, ["clean"])
    assert model.training


def test_an_unknown_attack_is_refused_before_any_is_run(net: nn.Module, images: LabelledImages) -> None:
    called: list[str] = []
    with pytest.raises(DfrdBenchError, match="Did you mean 'pgd20'"):
        evaluate(net, images, ["clean", "pgd2"], on_batch=lambda *a: called.append(a[0]))
    assert called == []


def test_progress_ends_at_the_last_image_and_its_accuracy(net: nn.Module, images: LabelledImages) -> None:
    calls: list[tuple[str, int, int, float]] = []
    big = LabelledImages(torch.cat([images.images] * 2), torch.cat([images.labels] * 2))
    record, _, _ = evaluate(net, big, ["clean"], on_batch=lambda *a: calls.append(a))
    assert [call[1:3] for call in calls] == [(300, 400), (400, 400)]
    assert calls[-1][3] == record.attacks["clean"].average


def test_bytes_are_measured_as_the_floats_they_stand_for(net: nn.Module) -> None:
    pixels = torch.randint(256, (30, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = tiny.own_labels(net, pixels.double().div(255).float())
    record, _, _ = evaluate(net, LabelledImages(pixels, labels), ["clean"])
    assert record.attacks["clean"].average == 1.0


class Looks:
    """An attack that changes nothing and notes the arithmetic it runs in."""

    def __init__(self) -> None:
        self.seen: tuple[str, bool] | None = None

    def parameters(self, threat: ThreatModel) -> dict[str, Any]:
        return {}

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, **_: Any) -> Tensor:
        self.seen = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        return x


def test_evaluation_is_in_float32_whatever_was_set_before(
    net: nn.Module, images: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Looks()
    monkeypatch.setattr(ATTACKS, "get", lambda name: looks)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        evaluate(net, images, ["looks"])
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
    assert looks.seen == ("highest", False)


class Warns(Looks):
    """An attack with something to say."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, **_: Any) -> Tensor:
        warnings.warn("the network looks odd", AttackWarning, stacklevel=1)
        return x


class Stops(Looks):
    """What a user's Ctrl-C is to the evaluation."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, **_: Any) -> Tensor:
        raise KeyboardInterrupt


def test_what_a_finished_attack_warned_of_is_not_lost_when_a_later_one_is_stopped(
    net: nn.Module, images: LabelledImages, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    attacks: dict[str, Looks] = {"warns": Warns(), "stops": Stops()}
    monkeypatch.setattr(ATTACKS, "get", lambda name: attacks[name])
    with pytest.raises(KeyboardInterrupt):
        evaluate(net, images, ["warns", "stops"], unfinished=tmp_path)
    attacks["stops"] = Looks()
    attacks["warns"] = Stops()  # is not asked again
    _, _, notes = evaluate(net, images, ["warns", "stops"], unfinished=tmp_path)
    assert "warns: the network looks odd" in notes
    arrays = read_arrays(tmp_path / "warns.npz", "notes")
    del arrays["notes"]  # as of a version that did not keep them
    write_arrays(tmp_path / "warns.npz", arrays)
    assert evaluate(net, images, ["warns"], unfinished=tmp_path)[0].attacks.keys() == {"warns"}


class Cramped:
    """An attack for which more than a few images at once are too many; it shifts an image by its place in the test set."""

    def __init__(self, most: int) -> None:
        self.most, self.sizes = most, list[int]()

    def parameters(self, threat: ThreatModel) -> dict[str, Any]:
        return {}

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, *, indices: Tensor, **_: Any) -> Tensor:
        self.sizes.append(len(y))
        if len(y) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return (x + (indices % 7)[:, None, None, None] / 50).clamp(0, 1)


def test_a_batch_that_does_not_fit_is_halved_and_nothing_changes(
    net: nn.Module, images: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictions = []
    for attack in (Cramped(1000), Cramped(60)):
        monkeypatch.setattr(ATTACKS, "get", lambda name, attack=attack: attack)
        predictions.append(evaluate(net, images, ["any"])[1].attacks["any"])
    assert attack.sizes == [200, 100, 50, 50, 100, 50, 50]
    assert np.array_equal(*predictions)
    assert 0 < (predictions[0] == images.labels.numpy()).sum() < 200


def test_what_does_not_fit_even_alone_is_an_error(
    net: nn.Module, images: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ATTACKS, "get", lambda name: Cramped(0))
    with pytest.raises(torch.OutOfMemoryError):
        evaluate(net, images, ["any"])
