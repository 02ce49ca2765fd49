"""Before anything is trained: can what will be trained be recorded? Names, student, teacher, paths and space."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfrd_bench.errors import DfrdBenchError, out_of_memory
from dfrd_bench.problem import Precision, TrainingProblem
from dfrd_bench.records.files import temporary
from dfrd_bench.records.reading import MIB, brief
from dfrd_bench.records.store import PREDICTIONS_FILE, UNFINISHED_FOLDER, unfinished_file

if TYPE_CHECKING:
    import torch
    from torch import nn

    from dfrd_bench.datasets.base import Dataset
    from dfrd_bench.problem import DatasetInfo
    from dfrd_bench.records.schema import ExperimentSpec
    from dfrd_bench.runs.preparation import Prepared

ASKED = 2  # images that a student is asked about
COPIES = 3  # of what is trained: two checkpoints, and the one that takes their place
CELL = 12  # bytes of a number in a confusion matrix as text
SMALL_FILES = 8 * MIB  # history, samples, pictures, and what else is small
LONGEST_NAME, LONGEST_PATH = 255, 4096  # bytes, where the system does not say


def check_recordable(prepared: Prepared, folder: Path, attacks: Sequence[str]) -> None:
    """Refuse a run that could be trained but not recorded; nothing is written.

    Args:
        prepared: the run.
        folder: where it would be recorded.
        attacks: names of those that it would be measured by.

    Raises:
        DfrdBenchError: naming the first thing that would fail.
    """
    from dfrd_bench.records.weights import check_finite

    problem, spec = prepared.problem, prepared.spec
    check_names_utf8(spec, problem.info)
    check_finite(problem.teacher, source=f"Teacher {spec.teacher.name}")
    if isinstance(problem, TrainingProblem) and problem.natural_teacher is not None:
        check_finite(problem.natural_teacher, source="The natural teacher")
    size = check_student(problem.student, spec.student, problem.info, problem.device, spec.seed)
    check_place(folder, attacks, (1 + COPIES) * size + measured_size(prepared.dataset, attacks))


def measured_size(dataset: Dataset, attacks: Sequence[str]) -> int:
    """About how many bytes predictions, record and small files will have."""
    images = len(dataset.load_tested()) if dataset.at_hand else dataset.count_tested()
    classes = dataset.info.num_classes
    return len(attacks) * (4 * images + CELL * classes**2) + SMALL_FILES


def size_of(state: Any) -> int:
    """Bytes of all tensors in nested mappings and sequences."""
    import torch

    if isinstance(state, torch.Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, dict):
        return sum(map(size_of, state.values()))
    return sum(map(size_of, state)) if isinstance(state, (list, tuple)) else 0


def check_names_utf8(spec: ExperimentSpec, info: DatasetInfo) -> None:
    """Refuse names that no record can hold.

    Raises:
        DfrdBenchError: naming the first that is not UTF-8.
    """
    for name in _texts([spec.model_dump(), info.model_dump()]):
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise DfrdBenchError(
                f"{brief(ascii(name))} is not UTF-8 text, so no record can hold it: rename it."
            ) from error


def _texts(content: Any) -> Iterator[str]:
    """Every text in nested mappings and sequences."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for name, value in content.items():
            yield from _texts([name, value])
    elif isinstance(content, (list, tuple)):
        for value in content:
            yield from _texts(value)


def check_student(network: nn.Module, name: str, info: DatasetInfo, device: torch.device, seed: int) -> int:
    """Save a fresh student, load it again and ask it, as recording and evaluating will; it is left as it was.

    Args:
        network: the student.
        name: its architecture, a name of `dfrd-bench list students`.
        info: the task.
        device: where the student is.
        seed: of its weights, for another of the kind.

    Returns:
        Bytes of its weights.

    Raises:
        DfrdBenchError: naming what it cannot do.
    """
    import torch
    from safetensors.torch import load

    from dfrd_bench.records.weights import fill, saved_weights
    from dfrd_bench.students.base import build_network

    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.no_grad(), Precision().backends():
        x = torch.rand(ASKED, *info.shape, generator=torch.Generator().manual_seed(0)).to(device)
        try:
            ours = copy.deepcopy(network).eval()  # a copy is not compiled
            data = saved_weights(ours)
            again = build_network(name, channels=info.shape[0], num_classes=info.num_classes, seed=seed + 1)
            fill(again, load(data), source="What it saves", architecture=name)
            before, twice, after = (_logits(model, x, info) for model in (ours, ours, again.to(device).eval()))
        except DfrdBenchError as error:
            raise DfrdBenchError(f"Student {name} could not be recorded: {error}") from error
        except Exception as error:  # somebody else's code
            if out_of_memory(error):
                raise
            what = f"{type(error).__name__}: {brief(error)}"
            raise DfrdBenchError(f"Student {name} cannot be copied, saved, loaded and asked: {what}") from error
    alike = torch.allclose(before, after, rtol=1e-2, atol=1e-2 * float(before.abs().max()))
    if not alike and torch.equal(before, twice):  # a network that draws random numbers cannot be told so
        raise DfrdBenchError(
            f"Student {name} gives other logits once its weights are saved and loaded: something that decides them is not among "
            "its parameters and buffers."
        )
    return len(data)


def _logits(network: nn.Module, x: torch.Tensor, info: DatasetInfo) -> torch.Tensor:
    """What a network says about images.

    Raises:
        DfrdBenchError: it is not one finite logit per image and class.
    """
    import torch

    logits = network(x)
    wanted = f"a tensor [{len(x)}, {info.num_classes}] of logits for {len(x)} images"
    if not isinstance(logits, torch.Tensor):
        raise DfrdBenchError(f"it returns {type(logits).__name__}, not {wanted}.")
    if logits.shape != (len(x), info.num_classes) or not logits.is_floating_point():
        raise DfrdBenchError(f"it returns {logits.dtype} {brief(tuple(logits.shape))}, not {wanted}.")
    if not bool(logits.isfinite().all()):
        raise DfrdBenchError("it returns logits that are not finite, untrained.")
    return logits.float()


def check_place(folder: Path, attacks: Sequence[str], size: int) -> None:
    """Refuse a folder whose files could not be written; it need not be there.

    Args:
        folder: of the run.
        attacks: names of those whose files will be kept for a while.
        size: bytes that will be written.

    Raises:
        DfrdBenchError: paths are too long, it may not be written, or too little space is free.
    """
    whole_path = Path(os.path.abspath(folder))  # noqa: PTH100  (without a look at the disk, which may refuse the name)
    there = next(place for place in (whole_path, *whole_path.parents) if os.path.isdir(place))  # noqa: PTH112
    longest, whole = _limits(there)
    files = [folder / PREDICTIONS_FILE, *(unfinished_file(folder / UNFINISHED_FOLDER, attack) for attack in attacks)]
    for path in map(temporary, files):
        part = max(path.parts, key=lambda name: len(os.fsencode(name)))
        if len(os.fsencode(part)) > longest:
            raise DfrdBenchError(
                f"A name of {len(os.fsencode(part))} bytes is too long for the file system, which takes {longest}: {brief(part)}"
            )
        if len(os.fsencode(path.absolute())) >= whole:
            raise DfrdBenchError(
                f"{brief(path)}: paths there would have {len(os.fsencode(path.absolute()))} bytes, the system takes {whole - 1}: "
                "choose another --results folder."
            )
    if not os.access(there, os.W_OK | os.X_OK):
        raise DfrdBenchError(f"Cannot write in {there}: choose another --results folder.")
    try:
        free = shutil.disk_usage(there).free
    except OSError:
        return  # the system does not say
    if free < size:
        raise DfrdBenchError(
            f"About {size / MIB:,.0f} MiB will be written to {folder}, and {free / MIB:,.0f} MiB are free there: make room, or "
            "choose another --results folder."
        )


def _limits(folder: Path) -> tuple[int, int]:
    """Bytes that a name and a path may have in a folder."""
    try:
        return os.pathconf(folder, "PC_NAME_MAX"), os.pathconf(folder, "PC_PATH_MAX")
    except (AttributeError, OSError, ValueError):  # not on this system
        return LONGEST_NAME, LONGEST_PATH
