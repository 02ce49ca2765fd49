"""Compressed images to one uint8 array, with a clear word about the first that cannot be used."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dfrd_bench.errors import DfrdBenchError
from dfrd_bench.observer import OnStep
from dfrd_bench.records.arrays import quiet
from dfrd_bench.records.reading import MIB, brief

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor

FORMATS = ("PNG", "JPEG", "BMP", "PPM", "WEBP", "TIFF")  # of Pillow's many, some of which start other programs
CHANNELS = {"L": 1, "RGB": 3}  # by Pillow's mode
LARGEST_FILE = 64 * MIB
LARGEST_SIDE = 4096  # pixels
SIXTEEN = re.compile(r"(?<!BGR);16")  # in Pillow's raw modes: "RGB;16B"; a BMP's "BGR;16" is 5, 6 and 5 bits
STEP = 500  # images between two words about progress


def look(data: bytes, name: str) -> tuple[str, tuple[int, int, int]]:
    """An image's Pillow mode and shape (channels, height, width), from its header.

    Raises:
        DfrdBenchError: it is no image, or neither RGB nor greyscale.
    """
    with quiet(), _opened(data, name) as image:
        return image.mode, _shape(image, name)


def decode(
    names: Sequence[str],
    read: Callable[[str], bytes],
    shape: tuple[int, int, int],
    *,
    to_rgb: bool = False,
    stage: str = "reading images",
    progress: OnStep = lambda stage, done, total: None,
) -> Tensor:
    """Decode images of one shape.

    Args:
        names: of the files, in the order of the result.
        read: a name to the file's content.
        shape: (channels, height, width) that all must have.
        to_rgb: make greyscale images RGB.
        stage: what `progress` calls this.
        progress: told every few hundred images.

    Returns:
        [N, C, H, W] uint8.

    Raises:
        DfrdBenchError: naming the first file that cannot be read, or has another size or mode.
    """
    import numpy as np
    import torch

    result = np.empty((len(names), *shape), dtype=np.uint8)
    for position, name in enumerate(names):
        result[position] = _pixels(read(name), name, shape, to_rgb)
        if position % STEP == 0:
            progress(stage, position, len(names))
    progress(stage, len(names), len(names))
    return torch.from_numpy(result)


def _pixels(data: bytes, name: str, shape: tuple[int, int, int], to_rgb: bool) -> NDArray[np.uint8]:
    """[C, H, W] of one file."""
    import numpy as np

    with quiet(), _opened(data, name) as image:
        if (found := (3, image.height, image.width) if to_rgb else _shape(image, name)) != shape:
            raise DfrdBenchError(
                f"All images must have one size and mode: {name} is {_words(found)}, the first is {_words(shape)}."
            )
        try:
            pixels = np.asarray(image.convert("RGB") if to_rgb else image)  # decodes: [H, W] or [H, W, C]
        except Exception as error:  # a damaged file raises nearly anything
            raise DfrdBenchError(f"The image {name} is damaged: {brief(error)}.") from error
    if pixels.dtype != np.uint8 or pixels.size != math.prod(shape):  # a file that grew in decoding
        raise DfrdBenchError(f"The image {name} is damaged: it does not hold what its header says.")
    return pixels.reshape(shape[1], shape[2], shape[0]).transpose(2, 0, 1)


def _opened(data: bytes, name: str) -> Image.Image:
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:  # a damaged file raises nearly anything
        raise DfrdBenchError(f"{name} is not an image that can be read ({', '.join(FORMATS)}).") from error
    if max(image.size) > LARGEST_SIDE:
        raise DfrdBenchError(f"{name} is {image.width}×{image.height} pixels: at most {LARGEST_SIDE} a side are read.")
    return image


def _shape(image: Image.Image, name: str) -> tuple[int, int, int]:
    if image.mode not in CHANNELS or _deep(image):
        mode = f"{image.mode} with 16 bits" if image.mode in CHANNELS else image.mode
        raise DfrdBenchError(f"{name} has mode {mode}: convert it to RGB or greyscale (L) with 8 bits.")
    return CHANNELS[image.mode], image.height, image.width


def _deep(image: Image.Image) -> bool:
    """Whether the file has more than 8 bits per channel, of which Pillow's RGB keeps eight."""
    bits = getattr(image, "tag_v2", {}).get(258, ())  # of a TIFF, BitsPerSample
    for decoder in getattr(image, "tile", ()):
        of_raw, *others = decoder[3] if isinstance(decoder[3], tuple) else (decoder[3],)
        deep_raw = isinstance(of_raw, str) and SIXTEEN.search(of_raw) is not None
        deep_ppm = decoder[0].startswith("ppm") and any(isinstance(top, int) and top > 255 for top in others)
        if deep_raw or deep_ppm:
            return True
    return any(isinstance(depth, int) and depth > 8 for depth in (bits if isinstance(bits, tuple) else (bits,)))


def _words(shape: tuple[int, int, int]) -> str:
    return f"{shape[2]}×{shape[1]} {'RGB' if shape[0] == 3 else 'greyscale'}"
