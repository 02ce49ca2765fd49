"""Pictures of what a method synthesized: kept beside the record, drawn as a grid labelled by the teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.problem import DatasetInfo
from dfrd_bench.records.arrays import read_arrays, write_arrays
from dfrd_bench.records.reading import brief
from dfrd_bench.reporting.escaping import plain_in_figures
from dfrd_bench.reporting.figures.saving import save_figure
from dfrd_bench.reporting.figures.style import styled

SAMPLES_FILE = "samples.npz"
PICTURE_FILE = "samples.png"
KEPT = 200
GAP = 1  # white pixels between images


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
        write_arrays(
            folder / SAMPLES_FILE, {"images": self.images, "classes": self.classes, "confidence": self.confidence}
        )


def load_samples(folder: Path, info: DatasetInfo) -> Samples:
    """Read `samples.npz` of a run's folder.

    Args:
        folder: of the run.
        info: the task that its record names.

    Raises:
        DfrdBenchError: it is missing or damaged, or holds no such images with a class and a confidence each.
    """
    path, count = folder / SAMPLES_FILE, -1

    def expected(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
        nonlocal count
        if name == "images":
            count = shape[0] if shape else -1
            fits = dtype == np.uint8 and shape[1:] == info.shape
            return "" if fits else f"not 8-bit images of {info.name}, {brief(info.shape)} each"
        kind, what = ("iu", "class") if name == "classes" else ("f", "confidence")
        return "" if dtype.kind in kind and shape == (count,) else f"not one {what} for each of the {count} images"

    names = ("images", "classes", "confidence")
    found = Samples(**read_arrays(path, *names, wanted=lambda name: False, expected=expected))
    if len(found.classes) and not 0 <= found.classes.min() <= found.classes.max() < info.num_classes:
        raise DfrdBenchError(f"{path}: not every class lies in 0 … {info.num_classes - 1}, as the record's do.")
    if not np.isfinite(found.confidence).all():
        raise DfrdBenchError(f"{path}: a confidence is not finite.")
    return found


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

    Raises:
        DfrdBenchError: the ending names no format, or the file cannot be written.
    """
    from matplotlib.figure import Figure

    counts = np.bincount(samples.classes, minlength=len(class_names))
    shown = sorted(np.argsort(-counts, kind="stable")[:rows].tolist())
    picture, middles = mosaic(samples, shown, columns)
    with styled():
        figure = Figure(figsize=(1.1 + 0.45 * columns, 0.47 * len(shown) + 0.35), layout="compressed")
        axis: Any = figure.subplots()
        axis.imshow(picture, interpolation="nearest")
        axis.set_xticks([])
        labels = [f"{plain_in_figures(class_names[number])}  ({counts[number]})" for number in shown]
        axis.set_yticks(middles, labels)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        figure.suptitle("synthetic images by the teacher's class (number in the sample)")
    save_figure(figure, path)


def mosaic(samples: Samples, classes: Sequence[int], columns: int) -> tuple[NDArray[np.uint8], list[float]]:
    """A row per class, the teacher's most confident images first; white where there is none.

    Args:
        samples: the images.
        classes: one per row.
        columns: images in each.

    Returns:
        The picture [H, W, 3], and the middle of each row, in pixels.
    """
    _, channels, height, width = samples.images.shape
    picture = np.full((len(classes) * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), 255, np.uint8)
    for row, number in enumerate(classes):
        members = np.flatnonzero(samples.classes == number)
        members = members[np.argsort(-samples.confidence[members], kind="stable")]
        for column, member in enumerate(members[:columns]):
            top, left = row * (height + GAP), column * (width + GAP)
            picture[top : top + height, left : left + width] = samples.images[member].transpose(1, 2, 0)
    middles = [row * (height + GAP) + (height - 1) / 2 for row in range(len(classes))]
    return picture.repeat(3, axis=2) if channels == 1 else picture, middles
