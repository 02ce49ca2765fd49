"""Synthetic images on a page: a strip per class in the images' own pixels, which the page enlarges."""

from __future__ import annotations

import io
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.records.schema import Record
from dfrd_bench.reporting.figures.samples import SAMPLES_FILE, load_samples

ROWS, COLUMNS = 10, 12
GAP = 1
LARGEST_EXACT = 16  # pixels of a side up to which a strip is kept exactly; larger ones lose what nobody sees
QUALITY = 80


@dataclass(frozen=True)
class Strip:
    """Images of one class.

    Attributes:
        name: of the class, as the teacher sees them.
        count: how many of the kept images are of it.
        source: the picture as an address that holds it.
        width, height: in pixels, enlarged.
    """

    name: str
    count: int
    source: str
    width: int
    height: int


def strips(folder: Path, record: Record) -> list[Strip]:
    """The most frequent classes' surest images, a strip each; none where the run kept no images."""
    from PIL import Image

    if not (folder / SAMPLES_FILE).is_file():
        return []
    try:
        samples = load_samples(folder, record.dataset.info)
    except DfrdBenchError:
        return []
    counts = np.bincount(samples.classes, minlength=record.dataset.info.num_classes)
    made = []
    for number in sorted(np.argsort(-counts, kind="stable")[:ROWS].tolist()):
        members = np.flatnonzero(samples.classes == number)
        members = members[np.argsort(-samples.confidence[members], kind="stable")][:COLUMNS]
        if not len(members):
            continue
        _, channels, height, width = samples.images.shape
        strip = np.full((height, len(members) * (width + GAP) - GAP, channels), 255, dtype=np.uint8)
        for column, member in enumerate(members):
            left = column * (width + GAP)
            strip[:, left : left + width] = samples.images[member].transpose(1, 2, 0)
        picture = Image.fromarray(strip[..., 0] if channels == 1 else strip)
        scale = max(1, 40 // height)
        buffer, exact = io.BytesIO(), height <= LARGEST_EXACT
        picture.save(buffer, "PNG" if exact else "WEBP", **({"optimize": True} if exact else {"quality": QUALITY}))
        source = f"data:image/{'png' if exact else 'webp'};base64,{b64encode(buffer.getvalue()).decode()}"
        size = (strip.shape[1] * scale, height * scale)
        made.append(Strip(record.dataset.info.class_names[number], int(counts[number]), source, *size))
    return made
