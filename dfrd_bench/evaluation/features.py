"""What a network sees in images before it decides: the input of its last linear layer, and its projection to the plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dfrd_bench.errors import DfrdBenchError, unknown_name

BATCH = 250
Projection = Literal["pca", "tsne"]
PERPLEXITY = 30  # of t-SNE, scikit-learn's default


@dataclass(frozen=True)
class Features:
    """Features of real and of synthetic images, by one network.

    Attributes:
        real: [N, D].
        labels: [N] their classes.
        synthetic: [M, D].
        classes: [M] the classes that the teacher gives them.
    """

    real: NDArray[np.float64]
    labels: NDArray[np.int64]
    synthetic: NDArray[np.float64]
    classes: NDArray[np.int64]


def last_features(model: nn.Module, images: Tensor) -> NDArray[np.float64]:
    """What goes into the linear layer that a network calls last, [N, D].

    Args:
        model: in eval mode, where the images are.
        images: [N, C, H, W] in [0, 1].

    Raises:
        DfrdBenchError: it has no linear layer.
    """
    seen: list[Tensor] = []

    def note(_layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen.append(inputs[0].detach())

    handles = [layer.register_forward_pre_hook(note) for layer in model.modules() if isinstance(layer, nn.Linear)]
    parts = []
    try:
        with torch.no_grad():
            for part in torch.split(images, BATCH):
                seen.clear()
                model(part)
                if not seen:
                    raise DfrdBenchError(
                        "This teacher has no linear layer at its end: there are no features to look at."
                    )
                parts.append(seen[-1].flatten(1).double().cpu())
    finally:
        for handle in handles:
            handle.remove()
    return torch.cat(parts).numpy()


def projected(features: Features, projection: str, seed: int = 0) -> NDArray[np.float64]:
    """Real and synthetic images in the plane, [N + M, 2].

    "pca": the first two principal components of the real images, with the synthetic ones put into the same plane. "tsne":
    t-SNE of both together (van der Maaten & Hinton 2008), by scikit-learn; distances between far groups mean little there.

    Raises:
        DfrdBenchError: there is no such projection, or scikit-learn is not installed.
    """
    everything = np.concatenate([features.real, features.synthetic])
    if projection == "pca":
        middle = features.real.mean(axis=0)
        _, _, directions = np.linalg.svd(features.real - middle, full_matrices=False)
        strongest = directions[:2]
        largest = strongest[np.arange(len(strongest)), np.abs(strongest).argmax(axis=1)]
        return np.asarray((everything - middle) @ (strongest * np.sign(largest)[:, None]).T)
    if projection != "tsne":
        raise unknown_name("projection", projection, get_args(Projection))
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise DfrdBenchError(
            'For t-SNE scikit-learn is needed: pip install "dfrd-bench[figures]"; or take --projection pca.'
        ) from error
    perplexity = min(PERPLEXITY, (len(everything) - 1) / 3)
    found = TSNE(init="pca", random_state=seed, perplexity=perplexity).fit_transform(everything)
    return np.asarray(found, dtype=np.float64)
