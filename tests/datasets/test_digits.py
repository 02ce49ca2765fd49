"""The digits in the package are scikit-learn's, divided as its stratified split with seed 0 divides them."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from dfrd_bench.datasets.base import open_dataset
from dfrd_bench.datasets.digits import Digits
from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.teachers.base import teacher_source


@pytest.mark.parametrize(("split", "place"), [("train", 0), ("test", 1)])
def test_images_and_labels_are_scikit_learns_in_their_order(split: Literal["train", "test"], place: int) -> None:
    bunch = load_digits()
    parts = train_test_split(bunch.images, bunch.target, train_size=897, stratify=bunch.target, random_state=0)
    found = Digits().load(split)
    assert np.array_equal(found.images.numpy()[:, 0], parts[place] / 16)
    assert np.array_equal(found.labels.numpy(), parts[place + 2])
    assert str(found.images.dtype) == "torch.float32"


def test_choices_are_tested_on_the_images_that_data_free_methods_never_see() -> None:
    tuning, digits = open_dataset("digits-tuning"), Digits()
    tested, seen = tuning.load_tested(), digits.load("train")
    assert np.array_equal(tested.images.numpy(), seen.images.numpy())
    assert np.array_equal(tested.labels.numpy(), seen.labels.numpy())
    assert tuning.presets == digits.presets
    assert teacher_source(str(tuning.default_teacher), tuning.task).fits(tuning.task)


def test_nothing_is_trained_on_what_is_tested_on() -> None:
    with pytest.raises(DfrdBenchError, match="for methods that see no data"):
        open_dataset("digits-tuning").load("train")
