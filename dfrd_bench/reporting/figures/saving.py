"""Writing a figure: in the format that its file's name asks for, the same file for the same figure."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from dfrd_bench.errors import unknown_name
from dfrd_bench.records.files import write_atomically
from dfrd_bench.reporting.figures.fonts import every_script
from dfrd_bench.reporting.figures.style import styled

DOTS_PER_INCH = 200
UNDATED: dict[str, dict[str, Any]] = {  # what a format would say of the time it was made at
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
    "svgz": {"Date": None},
}


def save_figure(figure: Any, path: Path, dpi: int = DOTS_PER_INCH) -> None:
    """Write a figure in the format that the file's ending names, PNG without one.

    Args:
        figure: a `matplotlib.figure.Figure`.
        path: of the file.
        dpi: dots per inch of a format that has any.

    Raises:
        DfrdBenchError: there is no such format, or the file cannot be written.
    """
    buffer = io.BytesIO()
    ending = picture_format(path)
    with styled(), every_script(figure):
        figure.savefig(buffer, format=ending, dpi=dpi, metadata=UNDATED.get(ending))
    write_atomically(path, buffer.getvalue())


def picture_format(path: Path) -> str:
    """The format that a file's ending names, PNG without one.

    Raises:
        DfrdBenchError: there is no such format.
    """
    from matplotlib.backend_bases import FigureCanvasBase

    ending, known = path.suffix.removeprefix(".").lower() or "png", FigureCanvasBase.get_supported_filetypes()
    if ending not in known:
        raise unknown_name("picture format", ending, known)
    return ending
