"""AutoAttack's half-finished state is read totally: whatever its bytes, the evaluation ends, and with the right verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from torch import Tensor, nn

from dfrd_bench.attacks.autoattack import AutoAttack
from dfrd_bench.attacks.state import State, no_margins
from dfrd_bench.evaluation.evaluate import BATCH_SIZE, evaluate_model
from dfrd_bench.evaluation.unfinished import SECONDS, Finished, Unfinished, key_of
from dfrd_bench.images import LabelledImages
from dfrd_bench.problem import ThreatModel
from dfrd_bench.registry import ATTACKS

IMAGES, CLASSES = 12, 4
THREAT = ThreatModel(eps=0.03, step=0.0075)
VALID = State(
    torch.arange(IMAGES) % CLASSES,
    5,
    no_margins(torch.zeros(IMAGES)),
    [0.75, 0.5],
    torch.tensor([3, 7]),
    torch.tensor([1]),
)
BROKEN: dict[str, Any] = {
    "predictions": [
        np.arange(5),
        np.zeros((IMAGES, 1), int),
        np.full(IMAGES, CLASSES),
        -np.ones(IMAGES, int),
        np.ones(IMAGES),
    ],
    "batch_size": [np.array(0), np.array([5]), np.array(1.5), np.array("5"), np.array(10**9)],
    "margins": [np.zeros(3, np.float32), np.zeros(IMAGES, int), np.array("x")],
    "tenth": [np.array([IMAGES]), np.arange(IMAGES), np.array(0.5), np.array("x")],
    "accuracies": [np.array([]), np.array(0.5), np.array([1.5]), np.array([np.nan]), np.array(["x"]), np.full(9, 0.5)],
    "unpredicted": [np.array(-1), np.array(np.inf), np.array("x")],
    "notes": [np.array(3)],
    "pending": [np.array([-1]), np.array([[1]]), np.array([IMAGES]), np.array(["a"])],
    SECONDS: [np.array(np.nan), np.array(-1.0), np.array("x"), np.array([1.0, 2.0])],
}
DAMAGES = [(name, number) for name, values in BROKEN.items() for number in range(len(values))]
DAMAGES += [
    (name, -1) for name in ("predictions", "batch_size", "accuracies", "unpredicted", "notes", SECONDS)
]  # missing


@pytest.fixture(scope="module")
def images() -> tuple[nn.Module, LabelledImages]:
    net = tiny.SmallConv(num_classes=CLASSES).eval().requires_grad_(False)
    x = tiny.random_images(IMAGES)
    return net, LabelledImages(x, tiny.own_labels(net, x))


def test_what_was_kept_comes_back_equal() -> None:
    again = State.from_arrays(VALID.to_arrays(), IMAGES, CLASSES)
    assert again is not None
    assert all(np.array_equal(value, VALID.to_arrays()[name]) for name, value in again.to_arrays().items())


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> list[bool]:
    """Told when an AutoAttack begins from nothing; its stages, which take minutes, are left out."""
    told: list[bool] = []

    class Quick(AutoAttack):
        def stages(self, *_: Any, **__: Any) -> list[Any]:
            return []

    quick = Quick(summary="", fast=request.param)
    monkeypatch.setattr(ATTACKS, "get", lambda _: quick)
    monkeypatch.setattr("dfrd_bench.attacks.autoattack._check_defence", lambda *_: told.append(True))
    monkeypatch.setattr("pyautoattack.checks.check_square_sr", lambda *_, **__: None)
    return told


@pytest.mark.parametrize("begun", [False, True], indirect=True, ids=["standard", "fast"])
@pytest.mark.parametrize(("name", "number"), [("nothing", 0), *DAMAGES])
def test_a_state_that_cannot_be_is_begun_again(
    images: tuple[nn.Module, LabelledImages],
    tmp_path: Path,
    begun: list[bool],
    name: str,
    number: int,
) -> None:
    model, data = images
    settings = {**ATTACKS.get("autoattack").parameters(THREAT), "batch_size": BATCH_SIZE}
    arrays = {**VALID.to_arrays(), "accuracies": np.array([0.5]), SECONDS: np.array(1.0)}
    if number < 0:
        del arrays[name]
    elif name != "nothing":
        arrays[name] = BROKEN[name][number]
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    Unfinished(tmp_path, key_of(model, data.digest(), 0)).save("autoattack", settings, arrays)
    record, predictions, _ = evaluate(model, data, tmp_path)
    assert begun == [True] * (name != "nothing")
    right = data.labels.numpy() if begun else VALID.predictions.numpy()
    assert predictions.attacks["autoattack"].tolist() == right.tolist()
    assert record.attacks["autoattack"].average == np.mean(right == data.labels.numpy())


def evaluate(model: nn.Module, data: LabelledImages, folder: Path) -> Any:
    return evaluate_model(
        model, data, num_classes=CLASSES, threat=THREAT, attacks=["autoattack"], device=tiny.CPU, unfinished=folder
    )


ANYTHING = arrays_of.arrays(
    st.one_of(arrays_of.integer_dtypes(), arrays_of.floating_dtypes(), arrays_of.unicode_string_dtypes(max_len=3)),
    arrays_of.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=13),
)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from([*VALID.to_arrays(), SECONDS, "finished", "stages", "standing"]), ANYTHING))
def test_whatever_arrays_a_file_holds_no_reader_of_them_raises(changes: dict[str, Any]) -> None:
    arrays = {**VALID.to_arrays(), **changes}
    state = State.from_arrays(arrays, IMAGES, CLASSES)
    assert state is None or (len(state.predictions) == IMAGES and isinstance(state.pending, (Tensor, type(None))))
    done = Finished.from_arrays({SECONDS: np.array(1.0), **changes}, IMAGES, CLASSES)
    assert done is None or (
        done.predicted.shape == (IMAGES,) and 0 <= done.predicted.min() <= done.predicted.max() < CLASSES
    )
