"""A network as programs that need no dfrd-bench, for PyTorch alone and as ONNX, each asked for the network's answers."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dfrd_bench.errors import DfrdBenchError, out_of_memory
from dfrd_bench.records.reading import brief

if TYPE_CHECKING:
    import torch
    from torch import nn

TOLERANCE = 1e-4  # of logits, times the largest of them where that is over 1
ASKED = 64  # images
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
INPUT, OUTPUT = "images", "logits"


def lacking_for_onnx() -> str:
    """What to install for ONNX, as a sentence; "" where nothing is missing."""
    missing = [name for name in ONNX_PACKAGES if find_spec(name) is None]
    return f"ONNX needs {', '.join(missing)}: pip install 'dfrd-bench[onnx]'." if missing else ""


def program_of(model: nn.Module, shape: tuple[int, int, int]) -> torch.export.ExportedProgram:
    """A network in eval mode, traced for any number of images [N, *shape].

    Raises:
        DfrdBenchError: it does something that depends on the values of its input, which no program can hold.
    """
    import torch

    batch = torch.export.Dim("batch")
    try:
        with _quiet():
            return torch.export.export(model, (_images(shape)[:2],), dynamic_shapes=({0: batch},))
    except Exception as error:  # of many types, by what the network does
        if out_of_memory(error):
            raise
        raise DfrdBenchError(f"{type(model).__name__} cannot be made a program: {brief(error)}") from error


def write_program(
    path: Path, program: torch.export.ExportedProgram, model: nn.Module, shape: tuple[int, int, int]
) -> None:
    """Write a program for `torch.export.load`, and ask what was written for logits and for gradients.

    Raises:
        DfrdBenchError: they are not the network's.
    """
    import torch

    with _quiet():
        torch.export.save(program, path)
        again = torch.export.load(path).module()
    _check_same(path, lambda x: again(x).detach().numpy(), model, shape)
    x = _images(shape).requires_grad_()
    ours, theirs = (torch.autograd.grad(network(x).logsumexp(dim=1).sum(), x)[0] for network in (model, again))
    if not torch.allclose(ours, theirs, rtol=0, atol=TOLERANCE * max(1.0, float(ours.abs().max()))):
        raise DfrdBenchError(f"{path.name} has other gradients than the network it was made of.")


def write_onnx(
    path: Path, program: torch.export.ExportedProgram, model: nn.Module, shape: tuple[int, int, int]
) -> None:
    """Write a program as one ONNX file, from `images` [N, *shape] to `logits` [N, K], and ask onnxruntime for the same answers.

    Raises:
        DfrdBenchError: a package is missing, an operation has no ONNX form, or the answers differ.
    """
    import torch

    if missing := lacking_for_onnx():
        raise DfrdBenchError(missing)
    import onnxruntime

    try:
        with _quiet():
            made = torch.onnx.export(program, dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False)
            assert made is not None
            made.save(str(path), external_data=False)
    except Exception as error:
        if out_of_memory(error):
            raise
        raise DfrdBenchError(f"{type(model).__name__} cannot be written as ONNX: {brief(error)}") from error
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    _check_same(path, lambda x: session.run([OUTPUT], {INPUT: x.numpy()})[0], model, shape)


def _check_same(
    path: Path, ask: Callable[[torch.Tensor], NDArray[Any]], model: nn.Module, shape: tuple[int, int, int]
) -> None:
    """Refuse a program that gives other logits or other classes than the network, for one image or for many.

    Classes whose logits are closer than the tolerance may change places.

    Raises:
        DfrdBenchError: it does.
    """
    import torch

    x = _images(shape)
    with torch.no_grad():
        wanted = model(x).numpy()
    found = np.concatenate([ask(x[:1]), ask(x[1:])])
    near = TOLERANCE * max(1.0, float(np.abs(wanted).max()))
    worst = float(np.abs(found - wanted).max())
    first, second = np.sort(wanted, axis=1)[:, -1], np.sort(wanted, axis=1)[:, -2]
    clear = first - second > 2 * near
    other = int((found.argmax(axis=1) != wanted.argmax(axis=1))[clear].sum())
    if not worst <= near or other:
        raise DfrdBenchError(
            f"{path.name} does not compute what the network does: logits differ by up to {worst:.2g}, "
            f"{other} of {len(x)} classes."
        )


def _images(shape: tuple[int, int, int]) -> torch.Tensor:
    """Images [ASKED, *shape]: noise, from faint to all black and white."""
    import torch

    noise = torch.rand(ASKED, *shape, generator=torch.Generator().manual_seed(0))
    contrast = torch.linspace(0.1, 20, ASKED)[:, None, None, None]
    return ((noise - 0.5) * contrast + 0.5).clamp(0, 1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what exporters print and log on their way."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
