"""Pictures of what a method synthesized: kept beside the record, drawn as a grid labelled by the teacher."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.files import write_atomically

SAMPLES_FILE = "samples.npz"
PICTURE_FILE = "samples.png"
KEPT = 200


@dataclass(frozen=True)
class Samples:
    """Synthetic images with the teacher's view of them.

    Attributes:
        images: [N, C, H, W] uint8.
        classes: [N] the teacher's class.
        confidence: [N] its probability.
    """

    images: NDArray[np.uint8]
    classes: NDArray[np.int64]
    confidence: NDArray[np.float32]

    def save(self, folder: Path) -> None:
        """Write `samples.npz` into a run's folder."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, images=self.images, classes=self.classes, confidence=self.confidence)
        write_atomically(folder / SAMPLES_FILE, buffer.getvalue())


def load_samples(folder: Path) -> Samples:
    """Read `samples.npz` of a run's folder.

    Raises:
        DfrdBenchError: it is missing or damaged.
    """
    path = folder / SAMPLES_FILE
    try:
        with np.load(path) as arrays:
            return Samples(arrays["images"], arrays["classes"], arrays["confidence"])
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DfrdBenchError(f"Cannot read {path}: {error}.") from error


def draw_samples(
    samples: Samples, class_names: Sequence[str], path: Path, *, columns: int = 10, rows: int = 10
) -> None:
    """Draw a grid: a row per class (the `rows` most frequent ones), the teacher's most confident images first.

    Args:
        samples: what to draw.
        class_names: one per class.
        path: where the PNG (or whatever the ending says) goes.
        columns: images per class.
        rows: classes.
    """
    from matplotlib.figure import Figure

    counts = np.bincount(samples.classes, minlength=len(class_names))
    shown = sorted(np.argsort(-counts, kind="stable")[:rows].tolist())
    figure = Figure(figsize=(1.6 + 0.7 * columns, 0.75 * len(shown) + 0.5), layout="compressed")
    grid: Any = figure.subplots(len(shown), columns, squeeze=False)
    for row, number in enumerate(shown):
        members = np.flatnonzero(samples.classes == number)
        members = members[np.argsort(-samples.confidence[members], kind="stable")]
        for column in range(columns):
            axis = grid[row, column]
            axis.set_xticks([])
            axis.set_yticks([])
            if column < len(members):
                pixels = samples.images[members[column]]
                grey = pixels.shape[0] == 1
                axis.imshow(
                    pixels[0] if grey else pixels.transpose(1, 2, 0), cmap="gray" if grey else None, vmin=0, vmax=255
                )
            else:
                axis.axis("off")
        label = f"{class_names[number]}  ({counts[number]})"
        grid[row, 0].set_ylabel(label, rotation=0, ha="right", va="center")
        grid[row, 0].axis("on")
        if not len(members):
            for side in grid[row, 0].spines.values():
                side.set_visible(False)
    figure.suptitle("synthetic images by the teacher's class (number in the sample)", fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix.removeprefix(".") or "png", dpi=120)
    write_atomically(path, buffer.getvalue())
