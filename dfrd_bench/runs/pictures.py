"""Synthetic images of a run, kept as numbers and drawn; whatever fails here is a warning, for the run is worth more."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from dfrd_bench.records.reading import brief
from dfrd_bench.records.schema import Record

if TYPE_CHECKING:
    from dfrd_bench.method import Method
    from dfrd_bench.runs.preparation import Prepared

log = logging.getLogger(__name__)


def keep_samples(prepared: Prepared, method: Method, folder: Path) -> None:
    """Leave some synthetic images in the folder, as numbers."""
    import torch

    from dfrd_bench.reporting.figures.samples import KEPT, Samples

    try:
        images = method.sample(KEPT).float().clamp(0, 1)
        with torch.no_grad():
            confidence, classes = prepared.problem.teacher(images).softmax(dim=1).max(dim=1)
        Samples(
            (images * 255).round().to(torch.uint8).cpu().contiguous().numpy(),
            classes.cpu().numpy(),
            confidence.cpu().numpy(),
        ).save(folder)
    except Exception as error:  # somebody else's code, after hours of training
        log.warning("No synthetic images are kept: %s", _reason(error))


def draw_kept(folder: Path, record: Record) -> None:
    """Draw the images that a run kept, unless that is done."""
    from dfrd_bench.reporting.figures.samples import PICTURE_FILE, SAMPLES_FILE, draw_samples, load_samples

    picture = folder / PICTURE_FILE
    if picture.exists() or not (folder / SAMPLES_FILE).exists():
        return
    info = record.dataset.info
    try:
        draw_samples(load_samples(folder, info), info.class_names, picture)
    except Exception as error:  # the run is recorded, whatever a library says of a name or a font
        log.warning("The picture %s is not drawn: %s", picture, _reason(error))


def _reason(error: Exception) -> str:
    return brief(f"{type(error).__name__}: {error}")
