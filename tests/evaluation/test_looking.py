"""Landscapes and features of networks whose answer is known."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor, nn

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.evaluation.features import Features, last_features, projected
from dfrd_bench.evaluation.landscape import landscape


class Linear(nn.Module):
    """Two classes, whose logits are ±w·x."""

    def __init__(self) -> None:
        super().__init__()
        self.w = torch.tensor([1.0, -2.0, 3.0, -4.0])

    def forward(self, x: Tensor) -> Tensor:
        along = (x.flatten(1) * self.w).sum(dim=1)
        return torch.stack([along, -along], dim=1)


def test_along_the_gradients_sign_a_linear_network_changes_by_epsilon_times_its_one_norm() -> None:
    image = torch.full((1, 2, 2), 0.5)
    found = landscape(Linear(), image, 0, eps=0.1, seed=3)
    assert found.steps[[0, 20, 40]] == pytest.approx([-1, 0, 1])
    middle = 2 * 0.5 * (1 - 2 + 3 - 4)  # the margin is twice w·x
    row = found.margin[20]
    assert row[20] == pytest.approx(middle)
    assert row[40] - row[20] == pytest.approx(-2 * 0.1 * 10, abs=1e-5)  # ‖w‖₁ = 10, and the loss rises
    assert row[0] - row[20] == pytest.approx(2 * 0.1 * 10, abs=1e-5)
    assert found.loss == pytest.approx(np.log1p(np.exp(-found.margin)), abs=1e-5)
    across = found.margin[40, 20] - found.margin[20, 20]
    assert across in [pytest.approx(2 * 0.1 * total, abs=1e-5) for total in range(-10, 11)]  # of random signs


def test_random_signs_are_the_same_for_every_network() -> None:
    image = torch.rand(1, 8, 8)
    first, second = (landscape(tiny.SmallConv().eval(), image, 1, eps=0.1, seed=0) for _ in range(2))
    assert np.array_equal(first.loss, second.loss)


def test_features_are_the_input_of_the_linear_layer(net: nn.Module) -> None:
    x = tiny.random_images(7)
    found = last_features(net, x)
    assert torch.allclose(10 * net.fc(torch.from_numpy(found).float()), net(x), atol=1e-5)  # as SmallConv computes
    assert not any(layer._forward_pre_hooks for layer in net.modules())


def test_a_network_without_a_linear_layer_is_refused() -> None:
    with pytest.raises(DfrdBenchError, match="no linear layer"):
        last_features(nn.Flatten(), torch.zeros(1, 1, 8, 8))


def features(real: int = 40, synthetic: int = 15) -> Features:
    stream = np.random.default_rng(0)
    everything = stream.normal(size=(real + synthetic, 6)) * [5, 3, 1, 1, 1, 1]
    return Features(everything[:real], np.zeros(real, int), everything[real:], np.zeros(synthetic, int))


def test_the_plane_is_that_of_scikit_learns_pca_of_the_real_images() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition", reason="compares with scikit-learn")
    seen = features()
    fitted = decomposition.PCA(2).fit(seen.real)
    theirs = fitted.transform(np.concatenate([seen.real, seen.synthetic]))
    ours = projected(seen, "pca")
    assert np.abs(ours) == pytest.approx(np.abs(theirs))
    assert (np.sign(ours[0]) * np.sign(theirs[0]) == np.sign(ours[9]) * np.sign(theirs[9])).all()  # one sign an axis


def test_tsne_gives_every_image_a_place_and_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn.manifold", reason="t-SNE is scikit-learn's")
    seen = features()
    assert projected(seen, "tsne").shape == (55, 2)
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(DfrdBenchError, match=r"pip install .*\[figures\]"):
        projected(seen, "tsne")
    with pytest.raises(DfrdBenchError, match="Did you mean 'pca'"):
        projected(seen, "pcaa")
